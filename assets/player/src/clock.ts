/** An answer to a ping. */
interface Sample {
  /** When it came, and what to add to our time to get the publisher's, in ms. */
  came: number;
  offset: number;
  /** From ping to answer, in ms. */
  trip: number;
}

/** What is known of another clock: what to add to ours, in ms, and how far off that may be. */
export interface Offset {
  value: number;
  error: number;
}

/** Pings after joining, and how far apart; then one each EVERY. */
const FIRST = 5;
const SOON = 200; // ms
const EVERY = 10_000; // ms

const KEPT = 8;

/** What is no answer any more. */
const LONGEST = 5000; // ms

/** How fast a sample ages: two cheap clocks may drift apart so fast. */
const AGING = 0.0005;

/** Samples that disagree by more than their errors and this are of two clocks. */
const APART = 5; // ms

/**
 * How the clock of the packets' stamps and ours go together, by pings: RFC 5905
 * section 8's offset with one stamp of the server's, of the sample with the least
 * error, which is half its round trip and grows with its age (section 10).
 * All times are ms of one clock of ours; not bound to a thread.
 */
export class Clock {
  private samples: Sample[] = [];
  private open: number[] = [];
  private pings = 0;

  /** Forgets everything: another server, or another publisher. */
  reset(): void {
    this.samples = [];
    this.open = [];
    this.pings = 0;
  }

  /** Notes that a ping with t = now is being sent, and returns how long to wait before the next, in ms. */
  ping(now: number): number {
    this.open.push(now);
    if (this.open.length > KEPT) this.open.shift();
    return ++this.pings < FIRST ? SOON : EVERY;
  }

  /** Takes the answer to the ping of t: the publisher's clock was at `at`, in µs. */
  pong(t: number, at: number, now: number): void {
    const i = this.open.indexOf(t);
    const trip = now - t;
    if (i < 0 || trip < 0) return;
    this.open.splice(i, 1);
    if (trip > LONGEST) return;
    const sample = { came: now, offset: at / 1000 - (t + now) / 2, trip };
    const known = this.offset(now);
    // One of the clocks was set, or stood still while its computer slept.
    if (known && Math.abs(known.value - sample.offset) > known.error + trip / 2 + APART) this.samples = [];
    this.samples.push(sample);
    if (this.samples.length > KEPT) this.samples.shift();
  }

  /** Returns what is known at a time, or null. */
  offset(now: number): Offset | null {
    let best: Offset | null = null;
    for (const { came, offset, trip } of this.samples) {
      const error = trip / 2 + AGING * (now - came);
      if (!best || error <= best.error) best = { value: offset, error };
    }
    return best;
  }
}

/** Milliseconds since 1970 by a clock that doesn't jump; the same in the page and in its workers. */
export function epoch(): number {
  return performance.timeOrigin + performance.now();
}
