import assert from "node:assert/strict";
import { test } from "node:test";
import table from "../src/codes.json";
import { closing, isFinal, parseText } from "../src/protocol";
import { readAnswer } from "../src/session";

test("text messages", () => {
  assert.deepEqual(parseText('{"type":"welcome","name":"Bob","title":"Ann","state":"live","frame":20,"bitrate":128000,"expires":1790000000,"new":1}'), {
    type: "welcome",
    name: "Bob",
    title: "Ann",
    state: "live",
    frame: 20,
    bitrate: 128000,
    expires: 1790000000,
  });
  assert.deepEqual(parseText('{"type":"state","state":"interrupted","title":7}'), { type: "state", state: "interrupted" });
  for (const text of ["", "null", "7", "[]", "{", '{"type":"state"}', '{"type":"state","state":"asleep"}', '{"type":"other","state":"live"}']) {
    assert.equal(parseText(text), null, text);
  }
});

test("a pong", () => {
  assert.deepEqual(parseText('{"type":"pong","t":1.25,"at":9007199254740991,"more":1}'), { type: "pong", t: 1.25, at: 9007199254740991 });
  for (const text of ['{"type":"pong"}', '{"type":"pong","t":1}', '{"type":"pong","t":"1","at":2}']) assert.equal(parseText(text), null, text);
});

test("a title is cut to what fits", () => {
  const message = parseText(JSON.stringify({ type: "state", state: "live", title: "x".repeat(5000) }));
  assert(message && "state" in message);
  assert.equal(message.title?.length, 200);
});

test("close codes: below 4400 is for now, from there on for good", () => {
  for (const { code, name, title, say } of table.codes) {
    assert.deepEqual(closing(code, ""), { error: name, title, say });
    assert.equal(isFinal(code), code >= 4400, name);
    assert(title !== "" && say !== "", name);
  }
  for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 4001, 4399]) assert(!isFinal(code));
  for (const code of [1000, 1006, 4399]) assert.equal(closing(code, "because"), null);
  assert.equal(closing(4444, "some later reason")?.say, "some later reason");
});

test("answers about a session", () => {
  assert.deepEqual(readAnswer(200, '{"name":"Bob","title":"Ann","state":"live","expires":1790000000}'), {
    kind: "welcome",
    stream: { name: "Bob", title: "Ann", state: "live", expires: 1790000000 },
  });
  assert.deepEqual(readAnswer(401, '{"error":"expired","message":"This link has expired. Ask for a new one."}'), {
    kind: "refused",
    refusal: { error: "expired", title: "This link has expired", say: "Ask for a new one to go on listening." },
  });
  const other = readAnswer(403, '{"error":"audience","message":"It is for another server."}');
  assert.deepEqual(other, {
    kind: "refused",
    refusal: { error: "audience", title: "This link does not work", say: "It is for another server." },
  });
  for (const [status, body] of [[404, "not found"], [403, '{"code":1}'], [200, "<html>"], [200, "{}"], [500, ""], [502, ""], [503, '{"error":"stopping","message":"…"}'], [429, ""]] as const) {
    assert.equal(readAnswer(status, body).kind, "unreachable", `${status} ${body}`);
  }
  assert.deepEqual(readAnswer(503, '{"error":"full","message":"Too many listen."}'), {
    kind: "unreachable",
    why: { error: "full", title: "Not just now", say: "Too many listen." },
  });
  const used = readAnswer(409, '{"error":"in-use","message":"Somebody listens by it."}');
  assert(used.kind === "refused");
  assert.equal(used.refusal.title, "This link is in use");
});
