import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Connection, backOff, type Socket, type Status } from "../src/connection";
import type { Answer } from "../src/session";

class Wire implements Socket {
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  closed = false;

  close(): void {
    this.closed = true;
  }

  welcome(state = "live"): void {
    this.onopen?.();
    this.onmessage?.({ data: JSON.stringify({ type: "welcome", title: "Ann", state, frame: 20 }) });
  }
}

/** A connection on wires that the test holds, in mocked time. */
function rig(answer: Answer = { kind: "unreachable" }) {
  const wires: Wire[] = [];
  const seen: Status[] = [];
  const messages: ArrayBuffer[] = [];
  const asked = { times: 0 };
  const connection = new Connection({
    open() {
      const wire = new Wire();
      wires.push(wire);
      return wire;
    },
    ask() {
      asked.times++;
      return Promise.resolve(answer);
    },
    status: (status) => seen.push(status),
    binary: (message) => messages.push(message),
    random: () => 1,
  });
  connection.start();
  const phase = () => seen[seen.length - 1]!.phase;
  return { connection, wires, seen, messages, asked, phase };
}

/** Runs a test in mocked time. */
function timed(name: string, body: (clock: typeof mock.timers) => Promise<void> | void): void {
  test(name, async () => {
    mock.timers.enable({ apis: ["setTimeout", "Date"] });
    try {
      await body(mock.timers);
    } finally {
      mock.timers.reset();
    }
  });
}

/** Lets the promises that were kept run. */
async function turn(): Promise<void> {
  for (let i = 0; i < 5; i++) await Promise.resolve();
}

test("the waits double, are spread and stay under ten seconds", () => {
  assert.equal(backOff(0, 1), 400);
  assert.equal(backOff(0, 0), 200);
  assert.equal(backOff(3, 1), 3200);
  assert.equal(backOff(20, 1), 10_000);
  assert.equal(backOff(20, 0), 5000);
});

timed("a welcome opens, state messages change it", () => {
  const { wires, seen, messages } = rig();
  wires[0]!.welcome();
  wires[0]!.onmessage?.({ data: '{"type":"state","state":"paused"}' });
  wires[0]!.onmessage?.({ data: '{"type":"news","state":"live"}' });
  wires[0]!.onmessage?.({ data: new ArrayBuffer(3) });
  assert.deepEqual(seen, [
    { phase: "connecting" },
    { phase: "open", stream: { state: "live", title: "Ann", frame: 20 } },
    { phase: "open", stream: { state: "paused", title: "Ann", frame: 20 } },
  ]);
  assert.equal(messages.length, 1);
});

timed("a restart is come back from, with back-off", (clock) => {
  const { wires, phase } = rig();
  wires[0]!.welcome();
  wires[0]!.onclose?.({ code: 1012, reason: "back soon" });
  assert.equal(phase(), "waiting");
  clock.tick(400);
  assert.equal(wires.length, 2);
  wires[1]!.onopen?.();
  wires[1]!.onclose?.({ code: 1006, reason: "" });
  clock.tick(400);
  assert.equal(wires.length, 2, "the second wait is longer");
  clock.tick(400);
  assert.equal(wires.length, 3);
  wires[2]!.welcome();
  assert.equal(phase(), "open");
});

for (const [code, error] of [[4400, "expired"], [4403, "replaced"], [4999, "code-4999"]] as const) {
  timed(`close code ${code} is the end`, (clock) => {
    const { wires, seen } = rig();
    wires[0]!.welcome();
    wires[0]!.onclose?.({ code, reason: "because" });
    const last = seen[seen.length - 1]!;
    assert(last.phase === "ended");
    assert.equal(last.refusal.error, error);
    assert.notEqual(last.refusal.title, "");
    clock.tick(60_000);
    assert.equal(wires.length, 1);
  });
}

timed("a handshake that fails is asked about: a refusal is the end", async () => {
  const refusal = { error: "expired", title: "This link has expired", say: "Ask for a new one." };
  const { wires, seen, asked } = rig({ kind: "refused", refusal });
  wires[0]!.onclose?.({ code: 1006, reason: "" });
  await turn();
  assert.equal(asked.times, 1);
  assert.deepEqual(seen[seen.length - 1], { phase: "ended", refusal });
});

timed("a handshake that fails is asked about: no answer means later", async (clock) => {
  const { wires, phase } = rig();
  wires[0]!.onclose?.({ code: 1006, reason: "" });
  await turn();
  assert.equal(phase(), "waiting");
  clock.tick(400);
  assert.equal(wires.length, 2);
});

timed("a handshake that hangs is given up", async (clock) => {
  const { wires } = rig();
  clock.tick(10_000);
  await turn();
  assert(wires[0]!.closed);
  clock.tick(400);
  assert.equal(wires.length, 2);
});

timed("online again: at once", async (clock) => {
  const { connection, wires } = rig();
  for (let i = 0; i < 6; i++) {
    wires[i]!.onclose?.({ code: 1006, reason: "" });
    await turn();
    clock.tick(10_000);
  }
  const before = wires.length;
  wires[before - 1]!.onclose?.({ code: 1006, reason: "" });
  await turn();
  connection.hurry();
  assert.equal(wires.length, before + 1);
});

timed("a live stream that goes quiet is opened anew, a paused one is left alone", (clock) => {
  const { wires, phase } = rig();
  wires[0]!.welcome("paused");
  clock.tick(60_000);
  assert.equal(wires.length, 1);
  wires[0]!.onmessage?.({ data: '{"type":"state","state":"live"}' });
  for (let i = 0; i < 100; i++) {
    clock.tick(200);
    wires[0]!.onmessage?.({ data: new ArrayBuffer(3) });
  }
  assert.equal(phase(), "open");
  clock.tick(5000);
  assert.equal(phase(), "waiting");
  assert(wires[0]!.closed);
  clock.tick(400);
  assert.equal(wires.length, 2);
});

timed("stopped is stopped", async (clock) => {
  const { connection, wires, seen } = rig();
  const before = seen.length;
  connection.stop();
  connection.hurry();
  clock.tick(60_000);
  await turn();
  assert(wires[0]!.closed);
  assert.equal(wires.length, 1);
  assert.equal(seen.length, before);
});
