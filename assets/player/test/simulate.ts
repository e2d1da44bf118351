import type { Chunk } from "../src/chunk";
import { Playout, type Config, type Figures, type Reader } from "../src/playout";

/** A stream, a network and an audio device, in simulated time. Seconds and milliseconds as named. */
export interface World {
  /** How much faster than the listener's the publisher's clock runs, in ppm. */
  ppm?: number;
  /** Sound in a message, in ms. */
  frame?: number;
  seconds: number;
  /** How long message i travels, in ms. Messages don't overtake each other. */
  delay?: (i: number) => number;
  /** How many frames the message with frame i holds, if not one: the server moves between lanes. */
  lane?: (i: number) => number;
  /** When what came at a time in seconds is handed to the sink, if not at once. */
  handed?: (arrival: number) => number;
  /** Whether the publisher sends message i, and whether the network loses it. */
  sends?: (i: number) => boolean;
  /** Samples that the device takes at a time. */
  burst?: number;
  /** Whether the device runs at a time in seconds. */
  runs?: (time: number) => boolean;
  config?: Partial<Config>;
  /** Is told what came out, burst by burst; left only. */
  heard?: (samples: Float32Array, time: number) => void;
  /** Is told right after each message, with what is buffered. */
  came?: (playout: Playout, time: number) => void;
  /** Is called before each message. */
  before?: (i: number, playout: Playout) => void;
}

export const RATE = 48000;
export const TONE = 997;
export const LIMITS = { slack: 20, device: 20, most: 4000 };

/** A reader that only counts, for hours of simulated time. */
export const counting: Reader = {
  read: (_tape, position, step, _left, _right, _offset, n) => position + n * step,
};

/** Plays the world through and returns the last figures. */
export function simulate(world: World): Figures {
  const { ppm = 0, frame = 20, seconds, burst = 512, runs = () => true } = world;
  const { delay = () => 0, sends = () => true, lane = () => 1, heard, came, before } = world;
  let now = 0; // ms, where the device is
  const playout = new Playout({ rate: RATE, limits: LIMITS, start: 60, now: () => now, ...world.config });
  playout.rejoin(frame);
  // Where nobody listens, larger steps do: it is only quicker.
  const quantum = heard ? 128 : burst;
  const left = new Float32Array(quantum);
  const right = new Float32Array(quantum);
  const samples = (frame * RATE) / 1000;
  const still = silence(samples);
  const sound = heard ? tone : (_from: number, n: number) => (n === samples ? still : silence(n));
  let arrival = 0;
  let gap = true;
  let device = 0;
  /** The first frame that waits for the message to be full, and how many it is to hold. */
  let first = 0;
  let room = 1;
  const advance = (to: number) => {
    for (; device / RATE <= to; device += burst) {
      if (!runs(device / RATE)) continue;
      now = (device / RATE) * 1000;
      for (let n = 0; n < burst; n += quantum) {
        playout.render(left, right);
        heard?.(left, (device + n) / RATE);
      }
    }
  };
  for (let i = 0; ; i++) {
    const sent = ((i + 1) * frame) / (1 + ppm / 1e6) / 1000;
    if (sent > seconds) return playout.figures();
    if (before) {
      advance(sent);
      before(i, playout);
    }
    if (!sends(i)) {
      gap = true;
      continue;
    }
    if (lane(i) !== room) {
      room = lane(i);
      advance(sent);
      playout.rejoin(room * frame);
    }
    if (gap) first = i;
    while (i + 1 - first >= room) {
      arrival = Math.max(arrival, sent + delay(i) / 1000);
      // A stalled port hands over late what came in time.
      const handed = Math.max(arrival, world.handed?.(arrival) ?? 0);
      advance(handed);
      now = handed * 1000;
      const n = room * samples;
      playout.push({ ...sound(first * samples, n), at: first * frame * 1000, arrived: arrival * 1000, gap });
      gap = false;
      first += room;
      came?.(playout, arrival);
    }
  }
}

/** Listens to nothing: a chunk of silence will do. */
function silence(samples: number): Pick<Chunk, "left" | "right"> {
  const left = new Float32Array(samples);
  return { left, right: left };
}

/** Samples of the tone, from its sample `from` on. */
export function tone(from: number, samples: number): Pick<Chunk, "left" | "right"> {
  const left = new Float32Array(samples);
  for (let i = 0; i < samples; i++) left[i] = 0.5 * Math.sin((2 * Math.PI * TONE * (from + i)) / RATE);
  return { left, right: left.slice() };
}

/** Numbers in 0 to 1 that are the same in every run: mulberry32. */
export function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Listens for clicks: a step that no tone of ours makes, however it is faded. */
export class Ear {
  /** Largest step between two samples, and when. */
  step = 0;
  at = 0;
  /** Silences of over 3 ms after the first sound: when, and how long in ms. */
  readonly silences: { at: number; ms: number }[] = [];
  private last = 0;
  private heardTo = 0;
  private quiet = 0;
  private begun = false;

  /** What the tone's own steps come to at most. */
  static readonly TONE_STEP = ((2 * Math.PI * TONE) / RATE) * 0.5;

  heard = (samples: Float32Array, time: number): void => {
    if (time - this.heardTo > 0.05) this.last = 0; // The device slept.
    this.heardTo = time;
    samples.forEach((x, i) => {
      const step = Math.abs(x - this.last);
      if (step > this.step) {
        this.step = step;
        this.at = time + i / RATE;
      }
      this.last = x;
      if (Math.abs(x) < 1e-6) {
        this.quiet++;
        return;
      }
      const ms = (this.quiet / RATE) * 1000;
      if (this.begun && ms > 3) this.silences.push({ at: time + (i - this.quiet) / RATE, ms });
      this.begun = true;
      this.quiet = 0;
    });
  };
}
