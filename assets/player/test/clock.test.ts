import assert from "node:assert/strict";
import { test } from "node:test";
import { Clock } from "../src/clock";
import { Output } from "../src/output";
import { random } from "./simulate";

/** A server whose clock is ahead by `offset` ms and `ppm` faster. */
function server(offset: number, ppm = 0) {
  return (now: number) => (now * (1 + ppm / 1e6) + offset) * 1000;
}

/** Pings for some seconds over ways of the given lengths, in ms, and returns the time. */
function ping(clock: Clock, now: number, seconds: number, at: (now: number) => number, out: () => number, back: () => number): number {
  for (const end = now + seconds * 1000; now < end; ) {
    const t = now;
    const wait = clock.ping(t);
    const there = t + out();
    clock.pong(t, at(there), there + back());
    now += wait;
  }
  return now;
}

test("the offset of the least round trip", () => {
  const clock = new Clock();
  assert.equal(clock.offset(0), null);
  const next = random(1);
  const way = () => 5 + (next() < 0.4 ? 200 * next() : 0);
  const now = ping(clock, 1000, 60, server(123_456), way, way);
  const { value, error } = clock.offset(now)!;
  assert(Math.abs(value - 123_456) <= error, `${value} ± ${error}`);
  assert(error < 60, `± ${error}`);
});

test("clocks that drift apart are followed", () => {
  const clock = new Clock();
  const at = server(-5000, 300);
  const now = ping(clock, 0, 3600, at, () => 2, () => 2);
  const { value, error } = clock.offset(now)!;
  const truth = at(now) / 1000 - now;
  assert(Math.abs(value - truth) <= error, `${value - truth} ± ${error}`);
  assert(error < 8, `± ${error}`);
});

test("a lopsided way is wrong by no more than it says", () => {
  const clock = new Clock();
  const now = ping(clock, 0, 30, server(77), () => 1, () => 81);
  const { value, error } = clock.offset(now)!;
  assert(Math.abs(value - 77) <= error);
});

test("after a sleep the old answers are forgotten", () => {
  const clock = new Clock();
  const now = ping(clock, 0, 60, server(1000), () => 1, () => 1);
  ping(clock, now, 0.1, server(901_000), () => 20, () => 20);
  assert(Math.abs(clock.offset(now)!.value - 901_000) < 1);
});

test("answers to nothing, twice or too late count for nothing", () => {
  const clock = new Clock();
  clock.pong(5, 1, 6);
  clock.ping(10);
  clock.pong(10, 5e6, 8000);
  assert.equal(clock.offset(8000), null);
  clock.ping(9000);
  clock.pong(9000, 5e6, 9010);
  clock.pong(9000, 9e6, 9020);
  assert.equal(clock.offset(9010)!.value, 5000 - 9005);
});

test("pings are quick at first and then seldom", () => {
  const clock = new Clock();
  const waits = Array.from({ length: 7 }, (_, i) => clock.ping(i));
  assert.deepEqual(waits, [200, 200, 200, 200, 10_000, 10_000, 10_000]);
});

test("where the browser tells, the device's latency counts", () => {
  const output = new Output({ currentTime: 10, getOutputTimestamp: () => ({ contextTime: 9.96, performanceTime: 50_000 }) }, true);
  assert.deepEqual(output.heard(10, 50_001), { at: 50_040, exact: true });
});

test("where it must not be asked, at least the news that came soonest counts", () => {
  const never = () => {
    throw new Error("asked");
  };
  const output = new Output({ currentTime: 10, baseLatency: 0.01, getOutputTimestamp: never }, false);
  output.heard(1, 2004);
  output.heard(2, 3001);
  const { at, exact } = output.heard(3, 4100);
  assert(!exact);
  assert(Math.abs(at - 4011) < 1e-6, `${at}`);
});

test("nonsense of the browser's is not believed", () => {
  for (const stamp of [{}, { contextTime: 0, performanceTime: 0 }, { contextTime: 1, performanceTime: 1 }]) {
    const output = new Output({ currentTime: 10, getOutputTimestamp: () => stamp }, true);
    assert.equal(output.heard(10, 60_000).exact, false);
  }
});
