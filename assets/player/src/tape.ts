/** Samples that an edit fades over: 5 ms at 48 kHz, too short to notice, too long to click. */
export const FADE = 240;

/** Samples around a position that the interpolator looks at: HISTORY before it, FUTURE after it. */
export const HISTORY = 7;
export const FUTURE = 8;

/**
 * A stereo ring of samples with absolute positions. Every edit (fade, cut, pause)
 * is made in place, ahead of the reader, so that reading stays one straight loop
 * and can't click. Allocates nothing after construction; not bound to a thread.
 */
export class Tape {
  readonly left: Float32Array;
  readonly right: Float32Array;
  readonly mask: number;
  /** Position behind the last sample. */
  end = HISTORY;

  /** size: capacity in samples, a power of two. */
  constructor(readonly size: number) {
    this.left = new Float32Array(size);
    this.right = new Float32Array(size);
    this.mask = size - 1;
  }

  /** Appends samples. The caller makes sure that the reader is less than size behind. */
  write(left: Float32Array, right: Float32Array): void {
    const to = this.end & this.mask;
    const room = this.size - to;
    if (left.length <= room) {
      this.left.set(left, to);
      this.right.set(right, to);
    } else {
      this.left.set(left.subarray(0, room), to);
      this.right.set(right.subarray(0, room), to);
      this.left.set(left.subarray(room));
      this.right.set(right.subarray(room));
    }
    this.end += left.length;
  }

  /** Appends silence. */
  pad(samples: number): void {
    this.silence(this.end, this.end + samples);
    this.end += samples;
  }

  /** Fades the samples from `from` in, as far as there are any, and silences what the interpolator sees before them. */
  fadeIn(from: number): void {
    this.silence(from - HISTORY, from);
    const n = Math.min(FADE, this.end - from);
    for (let i = 0; i < n; i++) this.scale(from + i, rise((i + 0.5) / n));
  }

  /** Fades the last samples out, reaching no further back than `since`. */
  fadeOut(since: number): void {
    const n = Math.min(FADE, this.end - since);
    for (let i = 0; i < n; i++) this.scale(this.end - 1 - i, rise((i + 0.5) / n));
  }

  /**
   * Ends the sound without a click where no more has come: the last samples once
   * more, backwards and fading, which continues the wave's value. Then enough
   * silence for the interpolator.
   */
  mirror(): void {
    const { end } = this;
    for (let i = 0; i < FADE; i++) {
      const to = (end + i) & this.mask;
      const from = (end - 1 - i) & this.mask;
      const gain = rise(1 - (i + 0.5) / FADE);
      this.left[to] = this.left[from]! * gain;
      this.right[to] = this.right[from]! * gain;
    }
    this.end += FADE;
    this.pad(HISTORY + FUTURE + 1);
  }

  /**
   * Cuts `samples` out at `at` by a cross-fade. The reader goes on at `at + samples`;
   * there must be FADE + FUTURE samples behind that.
   */
  cut(at: number, samples: number): void {
    for (let i = -HISTORY; i < FADE; i++) {
      const from = (at + i) & this.mask;
      const to = (at + samples + i) & this.mask;
      const gain = i < 0 ? 0 : rise((i + 0.5) / FADE);
      this.left[to] = this.left[to]! * gain + this.left[from]! * (1 - gain);
      this.right[to] = this.right[to]! * gain + this.right[from]! * (1 - gain);
    }
  }

  /**
   * Inserts a pause of `samples` (more than FADE) at `at`, faded on both sides,
   * over what was played. The reader goes on at `at - samples`. There must be
   * 2 FADE samples after `at`.
   */
  pause(at: number, samples: number): void {
    const start = at - samples;
    for (let i = -HISTORY; i < FADE; i++) {
      const from = (at + i) & this.mask;
      const to = (start + i) & this.mask;
      const gain = i < 0 ? 1 : rise(1 - (i + 0.5) / FADE);
      this.left[to] = this.left[from]! * gain;
      this.right[to] = this.right[from]! * gain;
    }
    this.silence(start + FADE, at + FADE);
    for (let i = 0; i < FADE; i++) this.scale(at + FADE + i, rise((i + 0.5) / FADE));
  }

  private silence(from: number, to: number): void {
    for (let i = from; i < to; i++) {
      this.left[i & this.mask] = 0;
      this.right[i & this.mask] = 0;
    }
  }

  private scale(at: number, gain: number): void {
    const i = at & this.mask;
    this.left[i] = this.left[i]! * gain;
    this.right[i] = this.right[i]! * gain;
  }
}

/** Raised cosine from 0 to 1. */
function rise(x: number): number {
  return 0.5 - 0.5 * Math.cos(Math.PI * x);
}
