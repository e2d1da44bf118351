import assert from "node:assert/strict";
import { test } from "node:test";
import { view, type Model } from "../src/view";

const idle: Model = {
  link: true,
  broken: false,
  stream: { state: "live", title: "Ann" },
  unreachable: false,
  refusal: null,
  wanted: false,
  status: null,
  lost: false,
  why: null,
  blocked: false,
  sounding: false,
};
const open: Partial<Model> = { wanted: true, status: { phase: "open", stream: { state: "live" } } };

const cases: [string, Partial<Model>, string, string][] = [
  ["no link", { link: false }, "unlinked", "none"],
  ["no decoder", { broken: true }, "unsupported", "none"],
  ["asking", { stream: null }, "asking", "play"],
  ["no answer", { stream: null, unreachable: true }, "unreachable", "play"],
  ["ready", {}, "ready", "play"],
  ["ready, while the owner pauses", { stream: { state: "paused" } }, "ready", "play"],
  ["connecting", { wanted: true, status: { phase: "connecting" } }, "connecting", "pause"],
  ["open, and no sound yet", open, "connecting", "pause"],
  ["live", { ...open, sounding: true }, "live", "pause"],
  ["paused", { ...open, stream: { state: "paused" } }, "paused", "pause"],
  ["interrupted", { ...open, stream: { state: "interrupted" } }, "interrupted", "pause"],
  ["offline", { ...open, stream: { state: "offline" } }, "offline", "pause"],
  ["lost", { wanted: true, lost: true, status: { phase: "waiting", why: null } }, "reconnecting", "pause"],
  ["lost, and trying", { wanted: true, lost: true, status: { phase: "connecting" } }, "reconnecting", "pause"],
  ["blocked", { ...open, blocked: true }, "blocked", "play"],
  ["expired", { refusal: { error: "expired", title: "This link has expired", say: "Ask." } }, "ended", "none"],
  ["replaced", { refusal: { error: "replaced", title: "Elsewhere", say: "Press play." } }, "ended", "play"],
];

test("view: what the server said at the end is shown until it is back", () => {
  const why = { error: "restart", title: "Gone for now", say: "Wait." };
  const shown = view({ ...idle, wanted: true, lost: true, why, status: { phase: "connecting" } });
  assert.deepEqual([shown.state, shown.word, shown.hint], ["reconnecting", "Gone for now", "Wait."]);
});

test("view: a link that ends soon says so", () => {
  const shown = view({ ...idle, ...open, stream: { state: "live", expiring: true }, sounding: true });
  assert.equal(shown.state, "live");
  assert.match(shown.hint, /ends in a minute/);
});

for (const [name, part, state, button] of cases) {
  test(`view: ${name}`, () => {
    const shown = view({ ...idle, ...part });
    assert.equal(shown.state, state);
    assert.equal(shown.button, button);
    assert.notEqual(shown.word, "");
    assert.notEqual(shown.title, "");
  });
}
