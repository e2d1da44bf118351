import { Smooth } from "./smooth";

const BIN = 2; // ms
const BINS = 2000; // up to 4 s
const WINDOW = 30_000; // ms
const ENTRIES = 8192; // of the window: 30 s of 5 ms packets
const SETTLED = 10_000; // ms
const SHARE = 0.995;

/**
 * What comes later than this, and what came to wait behind it, was held up by an
 * outage: a buffer that covered it would be far behind for a rare event. Where
 * it lasts, it is no outage but another way or another clock.
 */
export const OUTAGE = 600; // ms
const OUTAGE_LASTS = 2000; // ms
const OVER = 20; // ms

/** What comes within this of the first message is the sound of before we joined: old, not late. */
const JOIN = 250; // ms

/**
 * How late messages come: the distribution of their delay over the last 30 s,
 * against the typical delay, so that neither the clocks' offset nor their drift
 * matters. Allocates nothing after construction.
 */
export class Jitter {
  /** How much later than typical the last message came, in milliseconds; may be negative. */
  last = 0;
  /** Whether that was an outage's doing, and no jitter. */
  outage = false;
  /** Messages that the window holds. */
  count = 0;
  /** What comes later than this is an outage's doing, in milliseconds. */
  limit = OUTAGE;

  private readonly typical = new Smooth(2, 15);
  private readonly bins = new Uint16Array(BINS);
  private readonly bin = new Uint16Array(ENTRIES);
  private readonly time = new Float64Array(ENTRIES);
  private next = 0;
  /** No bin above is in use. */
  private top = 0;
  private joined = -1;
  private since = 0;

  /** Forgets the typical delay but not the jitter: another connection, or another clock. */
  rejoin(): void {
    this.joined = -1;
    this.typical.reset();
    this.last = 0;
    this.outage = false;
  }

  /** at, arrived: capture and arrival of a message's last sample, in ms, each of any clock; length: its sound in ms. */
  add(at: number, arrived: number, length: number): void {
    if (this.joined < 0) this.joined = arrived;
    if (arrived - this.joined < JOIN) return;
    const delay = arrived - at;
    this.last = this.typical.empty ? 0 : delay - this.typical.value;
    if (Math.abs(this.last) > this.limit && !this.outage) {
      this.outage = true;
      this.since = arrived;
    }
    if (this.outage) {
      this.outage = Math.abs(this.last) > Math.max(OVER, this.need());
      if (this.outage && arrived - this.since > OUTAGE_LASTS) this.rejoin();
      if (this.outage) return;
    }
    this.typical.add(delay, length / 1000);
    this.forget(arrived);
    const bin = Math.max(0, Math.min(BINS - 1, Math.ceil(this.last / BIN)));
    this.bin[this.next] = bin;
    this.time[this.next] = arrived;
    this.bins[bin]!++;
    this.top = Math.max(this.top, bin);
    this.next = (this.next + 1) % ENTRIES;
    this.count++;
  }

  /** How much later than typical all but the worst half per cent come, in milliseconds. */
  need(): number {
    let over = Math.floor(this.count * (1 - SHARE));
    while (this.top > 0 && this.bins[this.top] === 0) this.top--;
    for (let bin = Math.min(this.top, Math.ceil(this.limit / BIN)); bin > 0; bin--) {
      over -= this.bins[bin]!;
      if (over < 0) return bin * BIN;
    }
    return 0;
  }

  /** Whether enough was seen to believe that less would do. */
  settled(): boolean {
    if (this.count === 0) return false;
    const oldest = (this.next - this.count + ENTRIES) % ENTRIES;
    const newest = (this.next - 1 + ENTRIES) % ENTRIES;
    return this.time[newest]! - this.time[oldest]! > SETTLED;
  }

  private forget(now: number): void {
    while (this.count > 0) {
      const oldest = (this.next - this.count + ENTRIES) % ENTRIES;
      if (this.count < ENTRIES && now - this.time[oldest]! < WINDOW) return;
      this.bins[this.bin[oldest]!]!--;
      this.count--;
    }
  }
}
