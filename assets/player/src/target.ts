import { Jitter, OUTAGE } from "./jitter";

/** How a buffer is kept. All in milliseconds. */
export interface Limits {
  /** The least that is buffered over one and a half times a message's sound. */
  slack: number;
  /** What is buffered over the measured jitter, for the device's own unevenness. */
  device: number;
  /** The most that the target may be. */
  most: number;
}

/** Changes up to these are made slowly, and left to the playing speed. Falls up to a part of the whole are, too, so that a long buffer comes down in a few steps. */
export const UP = 20; // ms
export const DOWN = 40; // ms
const PART = 0.3;

/** How fast that is: 0.1 %, less than two cents, which nobody hears (test/drift.test.ts). */
const SLEW = 1; // ms a second

/** Less than this over a message's sound runs dry all the time. */
const LOWEST = 20; // ms

/** How much more is buffered after an underrun, at least. */
const MORE = 10; // ms

/** How long that is kept, several times as long where it was too short, and how fast it goes back to a third then. */
const HOLD = 30_000; // ms
const AGAIN = 4;
const LONGEST = 600_000; // ms
const FORGET = 60_000; // ms

/**
 * How much sound to keep buffered: what a message holds, and over that what the
 * measured jitter and former underruns ask for. Up at once, down slowly.
 */
export class Target {
  private readonly jitter = new Jitter();
  /** Sound of one message, in ms. */
  private length = 20;
  /** Sound of the messages that are to come, in ms; 0 for the same. */
  private expected = 0;
  /** What must be buffered over the least since an underrun, whatever is measured. */
  private extra = 0;
  private hold = HOLD;
  private held = 0;
  /** What must be buffered in any case, and whether that has just changed. */
  private least = 0;
  private moved = false;

  /** value: the first target, in ms; fixed: it never changes. */
  constructor(
    private readonly limits: Limits,
    public value: number,
    private readonly fixed: boolean,
  ) {}

  /** Measures anew, against another connection or messages of another length; length: ms of sound in them. */
  rejoin(length: number): void {
    this.jitter.rejoin();
    this.length = length;
    this.expected = 0;
    if (!this.fixed) this.value = Math.max(this.value, length + this.slack);
  }

  /** Buffers enough for messages of so many ms of sound, which are to come; at the next message. */
  expect(length: number): void {
    this.expected = length;
  }

  /** Sound in a message, in ms, for which the target is enough. */
  get covers(): number {
    return this.value >= this.room + this.slack ? this.room : this.length;
  }

  /** Sets the least that is buffered whatever is measured, in ms. The next message moves the target. */
  setLeast(least: number): void {
    if (this.least === least) return;
    // Far behind live, longer stalls are worth to be covered.
    this.jitter.limit = Math.max(OUTAGE, 2 * least);
    this.least = least;
    this.moved = true;
  }

  /** What would be buffered if there were no other least, in ms. */
  get lowest(): number {
    return this.room + Math.max(this.slack + this.extra, this.need + this.limits.device);
  }

  private get slack(): number {
    return this.limits.slack + this.room / 2;
  }

  private get room(): number {
    return Math.max(this.length, this.expected);
  }

  /** How much later than typical the last message came, in ms. */
  get late(): number {
    return this.jitter.last;
  }

  /** What the measured jitter asks for, in ms. */
  get need(): number {
    return this.jitter.need();
  }

  /**
   * Takes a message into account: the times of capture and arrival of its last
   * sample and its sound, all in ms; whether the buffer ran dry waiting for it;
   * whether sound is playing, and a lower target would be a skip.
   */
  update(at: number, arrived: number, length: number, starved: boolean, playing: boolean): void {
    this.jitter.add(at, arrived, length);
    if (this.fixed) return;
    const { device, most } = this.limits;
    if (this.held > 0) this.held -= length;
    else this.extra *= Math.exp(-length / FORGET);
    if (this.extra < 1) this.hold = HOLD;
    if (starved && !this.jitter.outage) {
      if (this.extra > MORE) this.hold = Math.min(LONGEST, AGAIN * this.hold);
      this.held = this.hold;
      // Cover what has just come too late, and in any case a little more than before.
      this.extra = Math.max(this.extra, Math.max(this.jitter.last + device, this.value - this.length + MORE) - this.slack);
    }
    const wanted = Math.min(most, Math.max(this.least, this.lowest));
    if (wanted > this.value) {
      const quick = !playing || wanted > this.value + UP;
      this.value = quick ? wanted : Math.min(wanted, this.value + (SLEW * length) / 1000);
    } else if (this.moved || (playing && this.jitter.settled())) {
      const quick = !playing || wanted < this.value - (this.moved ? DOWN : Math.max(DOWN, PART * this.value));
      this.value = quick ? wanted : Math.max(wanted, this.value - (SLEW * length) / 1000);
    }
    this.moved = false;
  }

  /** Takes what is buffered for the target, if that may change. */
  adopt(fill: number): void {
    if (!this.fixed) this.value = Math.max(fill, this.length + LOWEST);
  }
}
