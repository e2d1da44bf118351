import type { Chunk } from "./chunk";
import { OPUS_RATE } from "./opus";
import { Auto, LEAST, firstProfile, type Choice, type Profile } from "./profile";
import { Rate } from "./rate";
import { Sinc } from "./sinc";
import { Smooth } from "./smooth";
import { FADE, FUTURE, HISTORY, Tape } from "./tape";
import { DOWN, Target, UP, type Limits } from "./target";

/** Tape samples in a millisecond. */
const MS = OPUS_RATE / 1000;

const CAPACITY = 2 ** 19; // samples, 10.9 s

/**
 * A start never hits the target exactly. What it missed by less than OFF over its
 * first SETTLE is taken as the target, and goes away as slowly as any move of it.
 */
const SETTLE = 600; // ms
const OFF = 40; // ms

/** How long the buffer must have been too full before a part of it is skipped. */
const FULL = 500; // ms

/** What comes later than this after a stall is not played while newer sound is still coming. */
const STALE = 60; // ms
const STALE_WAIT = 200; // ms

/** A device that asked for nothing for so long sleeps. */
const IDLE = 250; // ms

/** Of how many samples one is looked at for the level. */
const GLANCE = 4;

/** On another connection the same sound comes again, from at most so long ago. */
const AGAIN = 5000; // ms

/** What turns a tape into samples at any speed: a Sinc. */
export type Reader = Pick<Sinc, "read">;

export interface Config {
  /** Samples a second that the device takes. */
  rate: number;
  limits: Limits;
  /** The first target, in ms, where the profile asks for no more. */
  start: number;
  /** Live, unless said. */
  choice?: Choice;
  /** Keeps the target as it is. */
  fixed?: boolean;
  reader?: Reader;
  /** Milliseconds of a clock of the thread that this lives in; Date.now, unless said. */
  now?: () => number;
}

/** What a Playout did and how it is. Times are milliseconds of sound. */
export interface Figures {
  playing: boolean;
  profile: Profile;
  /** Buffered just after a message has come. */
  target: number;
  fill: number;
  jitter: number;
  /** Speed against nominal, and the part of it that is the clocks' difference, in ppm. */
  speed: number;
  drift: number;
  /** Times that nothing was there to play while the stream was live. */
  underruns: number;
  /** Times that a part was skipped to be at live again, and pauses made for a higher target. */
  skips: number;
  pauses: number;
  /** Capture time of what is being played, in microseconds of the publisher's clock. */
  at: number;
  /** Level of the highest sample looked at since the last figures, 0 to 1. */
  peak: number;
}

/**
 * The jitter buffer: takes chunks as they come and gives samples at the device's
 * rate, a target behind. One thread; allocates nothing after construction, so
 * that it can live in an AudioWorklet.
 *
 * The target is how much is buffered just after a message came on time. What the
 * device has been given ahead of its playing counts as buffered: `ahead`.
 */
export class Playout {
  private readonly tape = new Tape(CAPACITY);
  private readonly rate = new Rate();
  private readonly reader: Reader;
  private readonly aim: Target;
  private readonly level = new Smooth(1, 15);
  /** Tape samples to one of the device's at speed 1. */
  private readonly nominal: number;

  private position = HISTORY;
  private choice: Choice;
  private auto = new Auto();
  private state: "waiting" | "playing" | "ending" = "waiting";
  /** While ending, where the sound ends; while waiting, where what was not played begins. */
  private stop = HISTORY;
  private live = true;

  /** Sound of one message, in ms. */
  private length = 20;
  /** It ran dry, and nothing has come since. */
  private starved = false;
  /** On the clock of chunk.arrived: the last chunk, and since when the wait could end. */
  private arrived = 0;
  private since = NaN;
  /** When the device last asked, by a clock of this thread. */
  private readonly now: () => number;
  private touched = NaN;
  /** Least fill over the current and the last half of FULL. */
  private least = [Infinity, Infinity];
  private leastSince = 0;
  /** What is left of SETTLE, and the sum that gives the mean. */
  private settling = 0;
  private settled = 0;

  /** A pause to make for a higher target, in ms. */
  private owed = 0;

  private underruns = 0;
  private skips = 0;
  private pauses = 0;
  private peak = 0;
  private endAt = 0;
  /** On a new connection, until what it sends has not come on the former one. */
  private again = false;

  constructor(config: Config) {
    const { rate, limits, start, choice = "live", fixed = false, now = Date.now } = config;
    const { reader = new Sinc(Math.min(1, rate / OPUS_RATE)) } = config;
    this.now = now;
    this.nominal = OPUS_RATE / rate;
    this.choice = choice;
    this.aim = new Target(limits, firstTarget(start, choice), fixed);
    this.aim.setLeast(LEAST[this.profile]);
    this.reader = reader;
  }

  /** Takes the listener's choice; it counts from the next chunk on. */
  choose(choice: Choice): void {
    if (choice === this.choice) return;
    this.choice = choice;
    if (choice === "auto") this.auto = new Auto();
    this.aim.setLeast(LEAST[this.profile]);
  }

  /** The profile that the buffer is kept by. */
  get profile(): Profile {
    return this.choice === "auto" ? this.auto.profile : this.choice;
  }

  /** Says whether sound is meant to come: running dry is an underrun only then. */
  setLive(live: boolean): void {
    this.live = live;
  }

  /** Tells that another connection, maybe another publisher, or messages of another length are heard from now on; length: ms of sound in them. */
  rejoin(length: number): void {
    this.length = length;
    this.again = true;
    this.aim.rejoin(length);
  }

  /** Holds enough for messages of so many ms of sound, which are to come. The next chunk moves the target. */
  expect(length: number): void {
    this.aim.expect(length);
  }

  /** Sound in a message, in ms, for which what is held is enough. */
  get covers(): number {
    return this.owed > 0 ? this.length : this.aim.covers;
  }

  /** Takes a chunk that arrived at its .arrived; ahead: ms given to the device and not played yet. */
  push(fresh: Chunk, ahead = 0): void {
    const { tape, again } = this;
    const chunk = fresh.gap || again ? this.unheard(fresh) : fresh;
    if (!chunk) return;
    const samples = chunk.left.length;
    const length = samples / MS;
    if (tape.end - this.position + samples > tape.size - OPUS_RATE) this.forget();
    if (this.now() - this.touched > Math.max(IDLE, 2 * this.length)) this.idle();
    if (chunk.gap) this.fadeOut();
    const start = tape.end;
    tape.write(chunk.left, chunk.right);
    if (chunk.gap) tape.fadeIn(start);

    this.arrived = chunk.arrived;
    this.endAt = chunk.at + length * 1000;
    const before = this.aim.value;
    const playing = this.state === "playing";
    this.aim.update(this.endAt / 1000, chunk.arrived, length, this.starved && !chunk.gap, playing);
    if (this.choice === "auto") {
      // What never came is nothing that a longer buffer would mend, unless the connection broke.
      const dry = this.starved && (!chunk.gap || again);
      this.aim.setLeast(LEAST[this.auto.update(chunk.arrived, this.aim.late, dry, this.aim.need, this.aim.lowest)]);
    }
    this.starved = false;
    if (playing && this.aim.value > before + UP) {
      this.owed += Math.max(0, this.aim.value - Math.max(before, this.level.empty ? 0 : this.level.value));
    }
    if (this.owed > 0) this.pause();
    if (this.state === "playing") this.steer(this.fill() + ahead, length);
  }

  /** Forgets what was not played: by the time that something can be heard again it is old. */
  forget(): void {
    this.stop = this.tape.end;
    this.wait();
  }

  /** How much shall be buffered just after a message came, in ms. */
  get target(): number {
    return this.aim.value;
  }

  /** Returns what a chunk has that has not come before, on another connection. */
  private unheard(chunk: Chunk): Chunk | null {
    const again = (this.endAt - chunk.at) / 1000;
    if (again <= 0) this.again = false;
    if (this.endAt === 0 || again < -1 || again > AGAIN) return chunk;
    const from = Math.max(0, Math.round(again * MS));
    if (from >= chunk.left.length) return null;
    const { left, right, arrived } = chunk;
    return { left: left.subarray(from), right: right.subarray(from), at: this.endAt, arrived, gap: false };
  }

  /** Milliseconds of sound on the tape. */
  fill(): number {
    return Math.max(0, (this.tape.end - this.position) / MS);
  }

  /** Samples that render can give now without running dry. */
  available(): number {
    if (this.state === "waiting") return 0;
    const end = this.state === "ending" ? this.stop : this.tape.end;
    return Math.max(0, Math.floor((end - 1 - FUTURE - this.position) / this.step()) + 1);
  }

  /** Whether no sound is being given. */
  get waiting(): boolean {
    return this.state === "waiting";
  }

  /** Notes that the device is awake, for a caller that doesn't ask for samples all the time. */
  touch(): void {
    this.touched = this.now();
  }

  /** Ends the wait if enough is there. Returns whether sound is being given. */
  ready(ahead = 0): boolean {
    this.touch();
    if (this.state !== "waiting") return true;
    if (this.fill() + ahead < this.target) return false;
    // After a stall the oldest comes first: wait for what is new, but not for ever.
    if (Number.isNaN(this.since)) this.since = this.arrived;
    if (this.aim.late > Math.max(STALE, this.target) && this.arrived - this.since < STALE_WAIT) return false;
    this.position = Math.max(this.stop, Math.floor(this.tape.end - Math.max(0, this.target - ahead) * MS));
    this.tape.fadeIn(this.position);
    this.state = "playing";
    this.level.reset();
    this.clearLeast();
    this.rate.rest();
    this.resettle();
    return true;
  }

  /**
   * Gives n samples from offset on: sound, or silence while there is none.
   * Running dry ends the sound softly.
   */
  render(left: Float32Array, right: Float32Array, offset = 0, n = left.length): void {
    let done = 0;
    while (done < n && this.ready()) {
      const some = Math.min(n - done, this.available());
      if (some > 0) {
        this.position = this.reader.read(this.tape, this.position, this.step(), left, right, offset + done, some);
        done += some;
      } else if (this.state === "playing") {
        this.dry();
        this.tape.mirror();
        this.stop = this.tape.end;
        this.state = "ending";
      }
      if (this.state === "ending" && this.position >= this.stop - FUTURE - 1) this.wait();
    }
    left.fill(0, offset + done, offset + n);
    right.fill(0, offset + done, offset + n);
    for (let i = offset; i < offset + done; i += GLANCE) {
      this.peak = Math.max(this.peak, Math.abs(left[i]!), Math.abs(right[i]!));
    }
  }

  /** Tells that the device has played all that it was given, for a caller that renders ahead and ends the sound itself. */
  ranDry(): void {
    if (this.state === "waiting") return;
    this.dry();
    this.stop = this.tape.end;
    this.wait();
  }

  /** Returns the figures; ahead as in push. */
  figures(ahead = 0): Figures {
    const { peak } = this;
    this.peak = 0;
    return {
      playing: this.state === "playing",
      profile: this.profile,
      target: this.target,
      fill: this.level.empty ? this.fill() + ahead : this.level.value,
      jitter: this.aim.need,
      speed: (this.rate.ratio - 1) * 1e6,
      drift: this.rate.drift * 1e6,
      underruns: this.underruns,
      skips: this.skips,
      pauses: this.pauses,
      at: this.endAt - (this.fill() + ahead) * 1000,
      peak,
    };
  }

  private step(): number {
    return this.nominal * this.rate.ratio;
  }

  /** Counts running dry; what comes next says how late it was. */
  private dry(): void {
    if (!this.live) return;
    this.underruns++;
    this.starved = true;
  }

  private wait(): void {
    this.position = this.stop;
    this.state = "waiting";
    this.since = NaN;
    this.owed = 0;
  }

  /** Nothing was asked for: the device sleeps. It goes on at live, not with what piled up. */
  private idle(): void {
    if (this.state === "waiting") return;
    this.stop = Math.ceil(this.position);
    this.wait();
  }

  /** Ends the sound where a gap follows. */
  private fadeOut(): void {
    const { tape } = this;
    const since = this.state === "playing" ? Math.ceil(this.position) + FUTURE : this.stop;
    if (this.state === "playing" && tape.end - since < FADE) tape.mirror();
    else tape.fadeOut(since);
  }

  /** Sets the speed by the fill just after a message came, and skips what is lastingly too much. */
  private steer(fill: number, length: number): void {
    if (this.settling > 0) {
      this.settle(fill, length);
      return;
    }
    this.level.add(fill, length / 1000);
    this.rate.update((this.level.value - this.target) / 1000, length / 1000);

    this.least[0] = Math.min(this.least[0]!, fill);
    const least = Math.min(this.least[0]!, this.least[1]!);
    // What the device has been given ahead can't be skipped: wait until all but a little is here.
    if (this.least[1]! < Infinity && least - this.target > DOWN && this.fill() >= least - this.target - DOWN) {
      this.skip(least - this.target);
    } else if (this.arrived - this.leastSince >= FULL / 2) {
      this.least[1] = this.least[0]!;
      this.least[0] = Infinity;
      this.leastSince = this.arrived;
    }
  }

  private resettle(): void {
    this.settling = SETTLE;
    this.settled = 0;
  }

  /** Takes the plain mean of the first fills for the level. */
  private settle(fill: number, length: number): void {
    this.settled += (fill * length) / SETTLE;
    this.settling -= length;
    if (this.settling > 0) return;
    const mean = (this.settled * SETTLE) / (SETTLE - this.settling);
    this.level.reset();
    this.level.add(mean, 0);
    if (Math.abs(mean - this.target) < OFF) this.aim.adopt(mean);
  }

  private clearLeast(): void {
    this.least[0] = this.least[1] = Infinity;
    this.leastSince = this.arrived;
  }

  private skip(ms: number): void {
    const at = Math.floor(this.position);
    const room = this.tape.end - at - FADE - FUTURE - 1;
    const samples = Math.min(Math.floor(ms * MS), room);
    if (samples < FADE) return;
    this.tape.cut(at, samples);
    this.position += samples;
    // The level may not have followed yet: go on from what was measured.
    this.level.reset();
    this.level.add(this.target + ms - samples / MS, 0);
    this.clearLeast();
    this.skips++;
  }

  /** Makes the pause that is owed, once there is enough on the tape to fade it. */
  private pause(): void {
    const at = Math.floor(this.position);
    const samples = Math.floor(this.owed * MS);
    if (this.state !== "playing" || this.tape.end - at < 2 * FADE) return;
    this.owed = 0;
    if (samples <= FADE) return;
    this.tape.pause(at, samples);
    this.position -= samples;
    this.level.shift(samples / MS);
    this.clearLeast();
    if (this.settling > 0) this.resettle();
    this.pauses++;
  }
}

/** The first target, in ms, of a sink that starts with `start` otherwise. */
export function firstTarget(start: number, choice: Choice): number {
  return Math.max(start, LEAST[firstProfile(choice)]);
}
