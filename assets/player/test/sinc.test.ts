import assert from "node:assert/strict";
import { test } from "node:test";
import { Sinc } from "../src/sinc";
import { HISTORY, Tape } from "../src/tape";

/** Plays a sine through the interpolator and returns the signal over all else, in dB. */
function quality(frequency: number, step: number, cutoff = 1): number {
  const tape = new Tape(2 ** 16);
  const wave = Float32Array.from({ length: 2 ** 15 }, (_, i) => Math.sin((2 * Math.PI * frequency * i) / 48000));
  tape.write(wave, wave);
  const n = 20000;
  const left = new Float32Array(n);
  const right = new Float32Array(n);
  new Sinc(cutoff).read(tape, HISTORY + 100.3, step, left, right, 0, n);
  assert.deepEqual(left, right);

  // Least squares of a sine and a cosine at the frequency that must come out.
  let ss = 0, cc = 0, sc = 0, ys = 0, yc = 0, yy = 0;
  for (let i = 0; i < n; i++) {
    const angle = ((2 * Math.PI * frequency) / 48000) * step * i;
    const [s, c, y] = [Math.sin(angle), Math.cos(angle), left[i]!];
    ss += s * s; cc += c * c; sc += s * c; ys += y * s; yc += y * c; yy += y * y;
  }
  const det = ss * cc - sc * sc;
  const signal = (ys * (ys * cc - yc * sc) + yc * (yc * ss - ys * sc)) / det;
  return 10 * Math.log10(signal / (yy - signal));
}

for (const [frequency, least] of [[1000, 80], [5000, 80], [10000, 70], [15000, 50]] as const) {
  test(`${frequency} Hz at 300 ppm`, () => {
    const db = quality(frequency, 1.0003);
    assert(db > least, `${db} dB`);
  });
}

test("a device of 44.1 kHz", () => {
  const db = quality(1000, 48000 / 44100, 44100 / 48000);
  assert(db > 60, `${db} dB`);
});

test("speed 1 on a whole sample changes nothing", () => {
  const tape = new Tape(256);
  const wave = Float32Array.from({ length: 100 }, (_, i) => Math.sin(i));
  tape.write(wave, wave);
  const out = new Float32Array(50);
  new Sinc().read(tape, HISTORY + 20, 1, out, new Float32Array(50), 0, 50);
  for (let i = 0; i < 50; i++) assert(Math.abs(out[i]! - wave[20 + i]!) < 1e-6);
});
