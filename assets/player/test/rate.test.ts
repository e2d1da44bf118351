import assert from "node:assert/strict";
import { test } from "node:test";
import { Rate } from "../src/rate";

/** Plays for some seconds at a difference of the clocks, and returns the excess at the end. */
function run(rate: Rate, excess: number, ppm: number, seconds: number): number {
  const dt = 0.02;
  for (let t = 0; t < seconds; t += dt) {
    const ratio = rate.update(excess, dt);
    excess += (1 + ppm / 1e6 - ratio) * dt;
  }
  return excess;
}

for (const ppm of [-500, -50, 0, 50, 500]) {
  test(`the clocks' difference of ${ppm} ppm is found`, () => {
    const rate = new Rate();
    const excess = run(rate, 0, ppm, 300);
    assert(Math.abs(excess) < 0.0005, `${excess} s off`);
    assert(Math.abs(rate.drift * 1e6 - ppm) < 5, `${rate.drift} drift`);
  });
}

for (const excess of [-0.1, -0.02, 0.02, 0.1]) {
  test(`${excess} s off is made good, and no drift learned from it`, () => {
    const rate = new Rate();
    const left = run(rate, excess, 0, 400);
    assert(Math.abs(left) < 0.001, `${left} s off`);
    assert(Math.abs(rate.drift) < 20e-6, `${rate.drift} drift`);
  });
}

test("never more than half a per cent", () => {
  const rate = new Rate();
  for (const excess of [-10, 10, -0.06, 0.06]) {
    for (let i = 0; i < 1000; i++) {
      assert(Math.abs(rate.update(excess, 0.02) - 1) < 0.005 + 1e-9);
    }
  }
});
