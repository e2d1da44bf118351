import assert from "node:assert/strict";
import { test } from "node:test";
import { Glitches } from "../src/glitches";

/** Runs a device that takes 10 ms at a time, is `drift` ppm off, and stands still at the given ms for so long. */
function run(ms: number, drift: number, stalls: [number, number][] = [], jitter = 0): number {
  const glitches = new Glitches();
  let lost = 0;
  for (let now = 0; now < ms; now += 3) {
    for (const stall of stalls) {
      if (now >= stall[0]) {
        lost += stall[1];
        stalls = stalls.filter((other) => other !== stall);
      }
    }
    const time = (now - lost) * (1 + drift / 1e6);
    glitches.add(Math.floor(now + ((now / 3) % 7 === 0 ? jitter : 0)), Math.floor(time / 10) * 10);
  }
  return glitches.count;
}

test("a device whose clock drifts has no glitches", () => {
  assert.equal(run(600_000, 500), 0);
  assert.equal(run(600_000, -500), 0);
  assert.equal(run(60_000, 0, [], 40), 0);
});

test("each time that it fell behind is one", () => {
  assert.equal(run(60_000, 100, [[5000, 15], [20_000, 60], [40_000, 8]]), 3);
});

test("a sleep is none", () => {
  assert.equal(run(60_000, 0, [[5000, 8000]]), 0);
});
