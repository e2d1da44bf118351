import assert from "node:assert/strict";
import { test } from "node:test";
import { counting, random, simulate } from "./simulate";

/**
 * The bound on the speed's noise, as a standard deviation. The least change of a
 * pure tone's frequency that people notice is 0.18 %, at 2 kHz and 60 dB (0.34 % at
 * 1 kHz): the table in J. O. Smith, Spectral Audio Signal Processing, "Minimum
 * Zero-Padding for Low-Frequency Peaks" (ccrma.stanford.edu/~jos/sasp). This is a
 * ninth of it.
 */
const NOISE = 200; // ppm

for (const ppm of [-300, 300]) {
  for (const jitter of [5, 30]) {
    test(`ten hours at ${ppm} ppm, jitter 0 to ${jitter} ms`, () => {
      const next = random(jitter);
      let second = 0, sum = 0, n = 0, worst = 0;
      let speeds = 0, squares = 0, count = 0;
      const target = 50 + jitter;
      const figures = simulate({
        ppm,
        seconds: 36_000,
        delay: () => jitter * next(),
        config: { reader: counting, start: target, fixed: true },
        came(playout, time) {
          if (time < 60) return;
          sum += playout.fill();
          n++;
          if (Math.floor(time) === second) return;
          second = Math.floor(time);
          worst = Math.max(worst, Math.abs(sum / n - target));
          sum = n = 0;
          if (time < 300) return;
          const { speed } = playout.figures();
          speeds += speed;
          squares += speed ** 2;
          count++;
        },
      });
      assert.equal(figures.underruns, 0);
      assert.equal(figures.skips, 0);
      assert.equal(figures.pauses, 0);
      assert(worst < 20, `fill ${worst} ms off`);
      const mean = speeds / count;
      assert(Math.abs(mean - ppm) < 15, `speed ${mean} ppm`);
      const noise = Math.sqrt(Math.max(0, squares / count - mean ** 2));
      assert(noise < NOISE, `speed noise ${noise} ppm`);
      assert(Math.abs(figures.drift - ppm) < 120, `drift ${figures.drift} ppm`);
      console.log(`${ppm} ppm, ${jitter} ms: fill at most ${worst.toFixed(1)} ms off, speed ${mean.toFixed(1)} ± ${noise.toFixed(1)} ppm`);
    });
  }
}
