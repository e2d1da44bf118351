/** Farthest that the playing speed may leave 1: 0.5 %, some 9 cents. */
const LIMIT = 0.005;

/** As fast as it goes to play up what is too much: 2.6 cents. */
const GENTLE = 0.0015;

/** Farthest that two clocks are believed to differ for long. */
const DRIFT = 0.001;

const P = 0.1; // a second
const I = 0.0025; // a second squared: critically damped, settles in some 40 s

/**
 * The speed at which to play, so that the buffer stays at its target though the
 * publisher's clock and the listener's differ: a PI controller.
 */
export class Rate {
  /** How much faster than ours the publisher's clock runs, as far as is known; 1e-6 is one ppm. */
  drift = 0;
  /** Tape samples to play in the time of one. */
  ratio = 1;

  /** excess: how much more than the target is buffered, in seconds; dt: seconds since the last call. */
  update(excess: number, dt: number): number {
    const push = P * excess;
    // Far off, it is a move to make and no drift: the integral would only wind up.
    if (Math.abs(push) < GENTLE) this.drift = clamp(this.drift + I * excess * dt, DRIFT);
    // Too little is urgent, too much is not.
    this.ratio = 1 + clamp(Math.min(push, GENTLE) + this.drift, LIMIT);
    return this.ratio;
  }

  /** Plays at the clock's own speed while nothing is measured. */
  rest(): void {
    this.ratio = 1 + this.drift;
  }
}

function clamp(x: number, limit: number): number {
  return Math.max(-limit, Math.min(limit, x));
}
