import { Jitter } from "./jitter";

/** How a buffer is kept. All in milliseconds. */
export interface Limits {
  /** The least that is buffered over one message's sound. */
  slack: number;
  /** What is buffered over the measured jitter, for the device's own unevenness. */
  device: number;
  /** The most that the target may be. */
  most: number;
}

/** Changes up to these are made slowly, and left to the playing speed. */
export const UP = 20; // ms
export const DOWN = 40; // ms

/** How fast that is: 0.05 %, a cent, which nobody hears. */
const SLEW = 0.5; // ms a second

/** How much more is buffered after an underrun, at least, and how long that takes to go back to a third. */
const MORE = 10; // ms
const CALM = 60; // s

/**
 * How much sound to keep buffered: what a message holds, and over that what the
 * measured jitter and former underruns ask for. Up at once, down slowly.
 */
export class Target {
  private readonly jitter = new Jitter();
  /** Sound of one message, in ms. */
  private length = 20;
  /** What must be buffered over it since an underrun, whatever is measured. */
  private floor: number;

  /** value: the first target, in ms; fixed: it never changes. */
  constructor(
    private readonly limits: Limits,
    public value: number,
    private readonly fixed: boolean,
  ) {
    this.floor = limits.slack;
  }

  /** Measures anew against another connection; length: ms of sound in its messages. */
  rejoin(length: number): void {
    this.jitter.rejoin();
    this.length = length;
    if (!this.fixed) this.value = Math.max(this.value, length + this.limits.slack);
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
    const { slack, device, most } = this.limits;
    this.floor = slack + (this.floor - slack) * Math.exp(-length / 1000 / CALM);
    if (starved && !this.jitter.outage) {
      // Cover what has just come too late, and in any case a little more than before.
      this.floor = Math.max(this.floor, this.jitter.last + device, this.value - this.length + MORE);
    }
    const wanted = Math.min(most, this.length + Math.max(this.floor, this.jitter.need() + device));
    if (wanted > this.value) {
      const quick = !playing || wanted > this.value + UP;
      this.value = quick ? wanted : Math.min(wanted, this.value + (SLEW * length) / 1000);
    } else if (playing && this.jitter.settled()) {
      const quick = wanted < this.value - DOWN;
      this.value = quick ? wanted : Math.max(wanted, this.value - (SLEW * length) / 1000);
    }
  }

  /** Takes what is buffered for the target, if that may change. */
  adopt(fill: number): void {
    if (!this.fixed) this.value = fill;
  }
}
