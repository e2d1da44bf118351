import { FUTURE, HISTORY, type Tape } from "./tape";

const TAPS = HISTORY + 1 + FUTURE;
const PHASES = 128;

/**
 * Reads a tape at any position: a Hann-windowed sinc of 16 taps, tabulated at 128
 * phases with straight lines between them. Of a sine's images and distortion it
 * leaves less than -80 dB at 1 kHz and -70 dB at 10 kHz (test/sinc.test.ts).
 */
export class Sinc {
  private readonly table = new Float64Array((PHASES + 1) * TAPS);

  /** cutoff: the highest frequency to keep, as a part of the tape's Nyquist frequency. */
  constructor(cutoff = 1) {
    for (let phase = 0; phase <= PHASES; phase++) {
      let sum = 0;
      for (let tap = 0; tap < TAPS; tap++) {
        const x = tap - HISTORY - phase / PHASES;
        const h = sinc(cutoff * x) * (0.5 + 0.5 * Math.cos((Math.PI * x) / (TAPS / 2)));
        this.table[phase * TAPS + tap] = h;
        sum += h;
      }
      for (let tap = 0; tap < TAPS; tap++) this.table[phase * TAPS + tap]! /= sum;
    }
  }

  /**
   * Fills n samples of left and right from `offset` on with the tape at position,
   * position + step and so on, and returns the position behind. The tape must hold
   * HISTORY samples before the first and FUTURE after the last.
   */
  read(tape: Tape, position: number, step: number, left: Float32Array, right: Float32Array, offset: number, n: number): number {
    const { table } = this;
    const { left: fromLeft, right: fromRight, mask } = tape;
    for (let i = 0; i < n; i++) {
      const whole = Math.floor(position);
      const scaled = (position - whole) * PHASES;
      const phase = Math.floor(scaled);
      const part = scaled - phase;
      let row = phase * TAPS;
      let l = 0;
      let r = 0;
      for (let tap = 0; tap < TAPS; tap++, row++) {
        const low = table[row]!;
        const h = low + part * (table[row + TAPS]! - low);
        const from = (whole - HISTORY + tap) & mask;
        l += h * fromLeft[from]!;
        r += h * fromRight[from]!;
      }
      left[offset + i] = l;
      right[offset + i] = r;
      position += step;
    }
    return position;
  }
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}
