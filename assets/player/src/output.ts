/** The part of an AudioContext that tells its times. */
export interface Timed {
  readonly currentTime: number;
  readonly baseLatency?: number;
  readonly outputLatency?: number;
  getOutputTimestamp?(): AudioTimestamp;
}

/** When something comes out of the device. */
export interface Heard {
  /** Milliseconds of performance.now. */
  at: number;
  /** False: at that time or later, since the browser does not tell what the device adds. */
  exact: boolean;
}

/** Each half of the window over which the least lag is taken. */
const HALF = 3000; // ms

/** More than this can't be right. */
const MOST = 5000; // ms

/**
 * Tells when what an AudioContext renders is heard. Main thread.
 */
export class Output {
  /** Least of clock minus context time over the current and the last half of the window, in ms. */
  private least = [Infinity, Infinity];
  private since = -Infinity;

  /** tells: whether the browser may be asked for the device's latency; Firefox may hang. */
  constructor(
    private readonly context: Timed,
    private readonly tells: boolean,
  ) {}

  /** time: the context's time of a sample that has just been rendered, in seconds; now: performance.now. */
  heard(time: number, now: number): Heard {
    const told = this.tells ? this.ask(now) : null;
    if (told !== null) return { at: told + time * 1000, exact: true };
    // The news of what was rendered comes late at times, but never early.
    if (now - this.since > HALF) {
      this.least = now - this.since > 2 * HALF ? [Infinity, Infinity] : [Infinity, this.least[0]!];
      this.since = now;
    }
    this.least[0] = Math.min(this.least[0]!, now - time * 1000);
    const base = (this.context.baseLatency ?? 0) * 1000;
    return { at: Math.min(...this.least) + base + time * 1000, exact: false };
  }

  /** Returns when the context's time 0 was heard, in ms, or null if the browser does not know. */
  private ask(now: number): number | null {
    const { contextTime = 0, performanceTime = 0 } = this.context.getOutputTimestamp?.() ?? {};
    if (contextTime > 0 && performanceTime > 0) {
      const zero = performanceTime - contextTime * 1000;
      const behind = zero + this.context.currentTime * 1000 - now;
      if (behind > -100 && behind < MOST) return zero;
    }
    return null;
  }
}
