import assert from "node:assert/strict";
import { test } from "node:test";
import { Auto, type Profile } from "../src/profile";
import { random, simulate } from "./simulate";

/** Feeds an Auto a message each 20 ms; late: how late that of a time in s is. Returns where it went, and when in s. */
function run(seconds: number, late: (s: number) => number, dry: (s: number) => boolean, need = () => 4, auto = new Auto()) {
  const moves: [Profile, number][] = [];
  let before = auto.profile;
  for (let i = 0; i < seconds * 50; i++) {
    const s = i / 50;
    const now = auto.update(i * 20, late(s), dry(s), need(), 50);
    if (now !== before) moves.push([now, Math.round(s)]);
    before = now;
  }
  return moves;
}

const at = (...times: number[]) => (s: number) => times.some((time) => Math.abs(s - time) < 1e-6);
const never = () => false;

test("a calm network stays live", () => {
  assert.deepEqual(run(3600, () => 3, never), []);
});

test("two underruns are an accident, three are not", () => {
  assert.deepEqual(run(600, () => 3, at(10, 60)), []);
  assert.deepEqual(run(150, (s) => (at(10, 60, 100)(s) ? 120 : 3), at(10, 60, 100)), [["balanced", 100]]);
  assert.deepEqual(run(600, () => 3, at(10, 200, 400)), []);
});

test("repeated outages lead to radio at once", () => {
  const outages = at(10, 40, 70);
  assert.deepEqual(run(100, (s) => (outages(s) ? 900 : 3), outages), [["radio", 70]]);
});

test("jitter that lasts leads up without an underrun", () => {
  assert.deepEqual(run(100, () => 3, never, () => 250), [["balanced", 45]]);
  let i = 0;
  assert.deepEqual(run(100, () => 3, never, () => (i++ < 30 * 50 ? 250 : 4)), []);
});

test("down goes slowly, a step at a time, and more slowly each time that it was too soon", () => {
  const auto = new Auto();
  const outages = at(10, 40, 70, 450, 460, 470);
  const moves = run(2000, (s) => (outages(s) ? 900 : 3), outages, () => 4, auto);
  assert.deepEqual(moves, [
    ["radio", 70],
    ["balanced", 250],
    ["live", 430],
    ["radio", 470],
    ["balanced", 830],
    ["live", 1190],
  ]);
});

test("what would have been heard below keeps it up", () => {
  const trouble = at(10, 20, 30);
  const late = (s: number) => (trouble(s) ? 120 : Math.floor(s) % 100 === 50 ? 120 : 3);
  assert.deepEqual(run(3600, late, trouble), [["balanced", 30]]);
});

test("outages of a second every half a minute: radio, and nothing is missing from then on", () => {
  let radio = 0;
  const late: number[] = [];
  let before = 0;
  const figures = simulate({
    seconds: 400,
    delay: (i) => (i % 1500 >= 1000 && i % 1500 < 1050 ? (1050 - (i % 1500)) * 20 : 0),
    config: { choice: "auto" },
    came(playout, time) {
      const { profile, underruns } = playout.figures();
      if (profile === "radio" && radio === 0) radio = time;
      if (underruns > before && radio > 0) late.push(time);
      before = underruns;
    },
  });
  assert(radio > 0 && radio < 100, `radio at ${radio} s`);
  assert.deepEqual(late.filter((time) => time > radio + 1), []);
  assert.equal(figures.profile, "radio");
});

test("high jitter on the whole way leads to balanced", () => {
  const next = random(9);
  const figures = simulate({ seconds: 120, delay: () => 260 * next(), config: { choice: "auto" } });
  assert.equal(figures.profile, "balanced");
  assert(figures.target >= 200 && figures.target < 500, `${figures.target} ms`);
});
