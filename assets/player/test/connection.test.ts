import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection, backOff, type Socket, type Status } from "../src/connection";
import type { Pong } from "../src/protocol";
import type { Answer } from "../src/session";

class Wire implements Socket {
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  closed = false;
  readonly sent: unknown[] = [];

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.closed = true;
  }

  welcome(state = "live"): void {
    this.onopen?.();
    this.onmessage?.({ data: JSON.stringify({ type: "welcome", title: "Ann", state, frame: 20 }) });
  }
}

/** Time that moves when it is told to. */
class Clock {
  now = 1000;
  private alarms: { at: number; call: () => void }[] = [];

  after = (ms: number, call: () => void): (() => void) => {
    const alarm = { at: this.now + ms, call };
    this.alarms.push(alarm);
    return () => {
      this.alarms = this.alarms.filter((other) => other !== alarm);
    };
  };

  tick(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = this.alarms.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.alarms = this.alarms.filter((other) => other !== next);
      this.now = Math.max(this.now, next.at);
      next.call();
    }
    this.now = end;
  }
}

/** A connection on wires and a clock that the test holds. */
function rig(answer: Answer = { kind: "unreachable" }) {
  const clock = new Clock();
  const wires: Wire[] = [];
  const seen: Status[] = [];
  const messages: ArrayBuffer[] = [];
  const pongs: Pong[] = [];
  const moves: [string, number][] = [];
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
    ping: () => connection.send({ type: "ping", t: clock.now }),
    pong: (pong) => pongs.push(pong),
    move: (lane, length) => moves.push([lane, length]),
    random: () => 1,
    now: () => clock.now,
    after: clock.after,
  });
  connection.start();
  const phase = () => seen[seen.length - 1]!.phase;
  const why = () => {
    const last = seen[seen.length - 1]!;
    return last.phase === "waiting" && last.why?.error;
  };
  return { connection, clock, wires, seen, messages, pongs, moves, asked, phase, why };
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

test("a welcome opens, state messages change it", () => {
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

test("that the link ends soon is part of the stream, and a state message keeps it", () => {
  const { wires, seen } = rig();
  wires[0]!.onopen?.();
  wires[0]!.onmessage?.({ data: '{"type":"expiring","seconds":60}' });
  assert.equal(seen.length, 1, "not before the welcome");
  wires[0]!.welcome();
  wires[0]!.onmessage?.({ data: '{"type":"expiring","seconds":60}' });
  wires[0]!.onmessage?.({ data: '{"type":"state","state":"paused"}' });
  assert.deepEqual(seen.slice(2), [
    { phase: "open", stream: { state: "live", title: "Ann", frame: 20, expiring: true } },
    { phase: "open", stream: { state: "paused", title: "Ann", frame: 20, expiring: true } },
  ]);
});

test("pings go out once the server listens, and their answers come in", () => {
  const { connection, wires, pongs, seen } = rig();
  connection.send({ type: "ping", t: 1 });
  wires[0]!.welcome();
  connection.send({ type: "ping", t: 2.5 });
  wires[0]!.onmessage?.({ data: '{"type":"pong","t":2.5,"at":7000000}' });
  wires[0]!.onmessage?.({ data: '{"type":"pong","t":"x","at":null}' });
  assert.deepEqual(wires[0]!.sent, [{ type: "ping", t: 2.5 }]);
  assert.deepEqual(pongs, [{ type: "pong", t: 2.5, at: 7_000_000 }]);
  assert.equal(seen.length, 2);
  wires[0]!.onclose?.({ code: 1012, reason: "" });
  connection.send({ type: "ping", t: 3 });
  assert.equal(wires[0]!.sent.length, 1);
});

test("a restart is come back from, with back-off", () => {
  const { clock, wires, phase, why } = rig();
  wires[0]!.welcome();
  wires[0]!.onclose?.({ code: 1012, reason: "back soon" });
  assert.deepEqual([phase(), why()], ["waiting", "restart"]);
  clock.tick(400);
  assert.equal(wires.length, 2);
  wires[1]!.onopen?.();
  wires[1]!.onclose?.({ code: 1006, reason: "" });
  assert.equal(why(), "restart", "that is still why");
  clock.tick(400);
  assert.equal(wires.length, 2, "the second wait is longer");
  clock.tick(400);
  assert.equal(wires.length, 3);
  wires[2]!.welcome();
  assert.equal(phase(), "open");
});

for (const [code, error] of [[4400, "expired"], [4403, "replaced"], [4999, "code-4999"]] as const) {
  test(`close code ${code} is the end`, () => {
    const { clock, wires, seen } = rig();
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

test("a handshake that fails is asked about: a refusal is the end", async () => {
  const refusal = { error: "expired", title: "This link has expired", say: "Ask for a new one." };
  const { wires, seen, asked } = rig({ kind: "refused", refusal });
  wires[0]!.onclose?.({ code: 1006, reason: "" });
  await turn();
  assert.equal(asked.times, 1);
  assert.deepEqual(seen[seen.length - 1], { phase: "ended", refusal });
});

test("a handshake that fails is asked about: no answer means later", async () => {
  const { clock, wires, phase } = rig();
  wires[0]!.onclose?.({ code: 1006, reason: "" });
  await turn();
  assert.equal(phase(), "waiting");
  clock.tick(400);
  assert.equal(wires.length, 2);
});

test("a handshake that hangs is given up", async () => {
  const { clock, wires } = rig();
  clock.tick(10_000);
  await turn();
  assert(wires[0]!.closed);
  clock.tick(400);
  assert.equal(wires.length, 2);
});

test("after an outage handshakes are given up sooner, but not ever sooner", () => {
  const { clock, wires } = rig();
  wires[0]!.welcome();
  wires[0]!.onclose?.({ code: 1006, reason: "" });
  const waits = [];
  for (let i = 1; i < 8; i++) {
    while (wires.length === i) clock.tick(10);
    const from = clock.now;
    while (!wires[i]!.closed) clock.tick(10);
    waits.push(clock.now - from);
  }
  assert.deepEqual(waits.map((ms) => Math.round(ms / 100)), [38, 56, 84, 100, 100, 100, 100]);
});

test("held, it leaves the server and says nothing, and then it is back", async () => {
  const { clock, connection, wires, seen, phase } = rig();
  wires[0]!.welcome();
  const before = seen.length;
  connection.hold(true);
  assert(wires[0]!.closed);
  connection.hurry();
  clock.tick(60_000);
  assert.equal(wires.length, 1);
  assert.equal(seen.length, before);
  connection.hold(false);
  wires[1]!.welcome();
  assert.equal(phase(), "open");

  wires[1]!.onclose?.({ code: 1006, reason: "" });
  connection.hold(true);
  clock.tick(60_000);
  await turn();
  assert.equal(wires.length, 2, "nor while it waits to try again");
});

test("online again: at once", async () => {
  const { clock, connection, wires } = rig();
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

test("a live stream that goes quiet is opened anew, a paused one is left alone", () => {
  const { clock, wires, phase } = rig();
  wires[0]!.welcome("paused");
  clock.tick(10_000);
  assert.equal(wires.length, 1);
  wires[0]!.onmessage?.({ data: '{"type":"state","state":"live"}' });
  for (let i = 0; i < 100; i++) {
    clock.tick(200);
    wires[0]!.onmessage?.({ data: new ArrayBuffer(3) });
  }
  assert.equal(phase(), "open");
  clock.tick(2000);
  assert.equal(phase(), "waiting");
  assert(wires[0]!.closed);
  clock.tick(400);
  assert.equal(wires.length, 2);
});

test("where the server asks to go is passed on, once there is a stream", () => {
  const { wires, moves } = rig();
  const move = (lane: string) => wires[0]!.onmessage?.({ data: JSON.stringify({ type: "move", lane, length: 100 }) });
  move("balanced");
  wires[0]!.welcome();
  move("balanced");
  move("faster");
  assert.deepEqual(moves, [["balanced", 100]]);
});

test("messages of a second may come a second apart", () => {
  const { clock, wires, phase } = rig();
  wires[0]!.welcome();
  wires[0]!.onmessage?.({ data: '{"type":"lane","lane":"radio","length":1000}' });
  for (let i = 0; i < 10; i++) {
    clock.tick(1300 - (i % 2) * 600);
    wires[0]!.onmessage?.({ data: new ArrayBuffer(3) });
  }
  assert.deepEqual(wires[0]!.sent, []);
  clock.tick(1800);
  assert.equal(wires[0]!.sent.length, 1);
  assert.equal(phase(), "open");
  clock.tick(1200);
  assert(wires[0]!.closed);
});

test("a network that went before the welcome is noticed", () => {
  const { clock, wires } = rig();
  wires[0]!.onopen?.();
  clock.tick(11_000);
  assert(wires[0]!.closed);
  assert.equal(wires.length, 2);
});

test("a live stream without sound is no dead connection while the server answers", () => {
  const { clock, wires, phase } = rig();
  wires[0]!.welcome();
  for (let i = 0; i < 100; i++) {
    clock.tick(100);
    const ping = wires[0]!.sent.pop() as { t: number } | undefined;
    if (ping) wires[0]!.onmessage?.({ data: JSON.stringify({ type: "pong", t: ping.t, at: 1 }) });
  }
  assert.equal(phase(), "open");
  assert.equal(wires.length, 1);
});

test("a paused stream's connection is asked for a sign of life, and given up without one", () => {
  const { clock, wires, connection } = rig();
  wires[0]!.welcome("paused");
  clock.tick(14_000);
  assert.equal(wires[0]!.sent.length, 0);
  clock.tick(2000);
  assert.equal(wires[0]!.sent.length, 1);
  clock.tick(3500);
  assert(wires[0]!.closed);
  assert.equal(wires.length, 2);
  wires[1]!.welcome("paused");

  // The page is shown: it asks at once, and leaves a good connection alone.
  clock.tick(5000);
  connection.hurry();
  assert.equal(wires[1]!.sent.length, 1);
  wires[1]!.onmessage?.({ data: '{"type":"pong","t":1,"at":1}' });
  clock.tick(5000);
  assert.equal(wires.length, 2);
  connection.hurry();
  clock.tick(3500);
  assert.equal(wires.length, 3);
});

test("online again while a handshake is open: another one at once", () => {
  const { clock, connection, wires } = rig();
  clock.tick(500);
  connection.hurry();
  assert.equal(wires.length, 1, "a young one is left alone");
  clock.tick(1000);
  connection.hurry();
  assert.equal(wires.length, 2);
  assert(wires[0]!.closed);
});

test("after the computer's sleep the connection is opened anew at the first look", () => {
  const { clock, wires } = rig();
  wires[0]!.welcome();
  clock.tick(100);
  clock.now += 300_000; // timers stood still
  clock.tick(250);
  assert.equal(wires.length, 2);
});

test("stopped is stopped", async () => {
  const { clock, connection, wires, seen } = rig();
  const before = seen.length;
  connection.stop();
  connection.hurry();
  clock.tick(60_000);
  await turn();
  assert(wires[0]!.closed);
  assert.equal(wires.length, 1);
  assert.equal(seen.length, before);
});
