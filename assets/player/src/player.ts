import type { Losses } from "./assembler";
import type { Offset } from "./clock";
import type { Status } from "./connection";
import type { FromWorker, ToWorker } from "./messages";
import { Playing, hasWorklet, type Owner, type Report } from "./playing";
import { firstTarget } from "./playout";
import { firstProfile, type Choice } from "./profile";
import { SCHEDULED, WORKLET } from "./sink";
import { Smooth } from "./smooth";

/** How often the server is told how the listener plays, and when for the first time. */
const STATS = 5000; // ms
const FIRST = 2000; // ms

/** How long the browser may hold the device until the server is left: nobody hears what it sends. */
const HELD = 10_000; // ms

/** How long to wait before the worker is fetched again, when that failed. */
const AGAIN = 2000; // ms

/** What the player tells, on the main thread. */
export interface Listener {
  status(status: Status): void;
  /** About ten times a second while playing. */
  report(report: Report): void;
  /** About once a second: what was lost, and the bits a second that come in. */
  losses(losses: Losses, bitrate: number): void;
  /** The browser has stopped the device (a call, a lock screen), or has started it again. */
  blocked(blocked: boolean): void;
  /** The decoder could not be started: nothing will ever play. */
  broken(): void;
}

/** Which stream to play. */
export interface Target {
  /** Where the stream's paths begin: "" or "/NAME". */
  base: string;
  token: string;
  /** The page's ID, kept for the tab. */
  page: string;
}

/**
 * Plays one stream: starts the worker with socket and decoder at once, and an
 * audio device with the jitter buffer in front of it on play.
 */
export class Player {
  private fetched: Worker | null = null;
  /** The same, once it runs. */
  private worker: Worker | null = null;
  /** What the worker is to be told once it runs. */
  private waiting: [message: ToWorker, transfer: Transferable[]][] = [];
  private playing: Playing | null = null;
  private target: Target | null = null;
  private owner: Telling | null = null;
  private gain = 1;

  /** choice: the profile to play with. */
  constructor(
    private readonly listener: Listener,
    private choice: Choice,
  ) {
    this.fetch();
    // Into the cache, so that it is there at the click.
    if (hasWorklet()) void fetch(WORKLET_MODULE).catch(() => undefined);
  }

  /** Starts to play. Call it in a click's handler: browsers start no sound otherwise. */
  play(target: Target): void {
    this.stop();
    this.target = target;
    const { port1, port2 } = new MessageChannel();
    this.owner = new Telling(this.listener, (message) => this.tell(message));
    this.playing = new Playing(port2, this.gain, this.choice, this.owner);
    const buffer = firstTarget((hasWorklet() ? WORKLET : SCHEDULED).start, this.choice);
    const profile = firstProfile(this.choice);
    this.tell({ type: "open", ...target, buffer, profile, port: port1 }, [port1]);
  }

  /** Stops, and leaves the server. */
  stop(): void {
    if (!this.playing) return;
    this.tell({ type: "close" });
    this.playing.close();
    this.owner?.close();
    this.playing = this.owner = null;
  }

  /**
   * Leaves the server at once, since the page may be frozen next: told to, the
   * worker might be frozen with its socket open, which the browser then keeps.
   */
  leave(): void {
    this.stop();
    this.fetched?.terminate();
    this.fetched = this.worker = null;
    this.waiting = [];
  }

  /** Is ready to play again after {@link leave}. */
  back(): void {
    if (!this.fetched) this.fetch();
  }

  /** Wakes what may have fallen asleep: call it when the page is shown, the network is back, or in a click's handler. */
  wake(click = false): void {
    if (!this.playing || !this.target) return;
    if (click && this.playing.dead) {
      this.play(this.target);
      return;
    }
    this.playing.resume(click);
    this.tell({ type: "hurry" });
  }

  /** Changes the profile, now and for later. */
  choose(choice: Choice): void {
    this.choice = choice;
    this.playing?.choose(choice);
  }

  /** Sets the volume, 0 to 1 as heard. */
  set volume(volume: number) {
    this.gain = volume ** 2;
    this.playing?.setGain(this.gain);
  }

  private fetch(): void {
    const worker = new Worker(WORKER);
    this.fetched = worker;
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.take(data, worker);
    worker.onerror = ({ message }) => {
      // Without a message it is the network's fault, not the program's.
      if (this.worker || message) this.listener.broken();
      else setTimeout(() => worker === this.fetched && this.fetch(), AGAIN);
    };
  }

  private take(message: FromWorker, worker: Worker): void {
    if (worker !== this.fetched) return;
    if (message.type === "up") {
      this.worker = worker;
      for (const [message, transfer] of this.waiting.splice(0)) worker.postMessage(message, transfer);
    }
    if (message.type === "broken") this.listener.broken();
    if (!this.owner) return;
    if (message.type === "status") this.listener.status(message.status);
    if (message.type === "losses") this.listener.losses(message.losses, message.bitrate);
    if (message.type === "clock") this.owner.offset = message.offset;
  }

  private tell(message: ToWorker, transfer: Transferable[] = []): void {
    if (this.worker) this.worker.postMessage(message, transfer);
    else this.waiting.push([message, transfer]);
  }
}

/** Tells the page how the playing goes, and now and then the server. */
class Telling implements Owner {
  offset: Offset | null = null;
  private readonly latency = new Smooth(1, 50);
  private next = performance.now() + FIRST;
  private last = performance.now();
  private holding: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly listener: Listener,
    private readonly tell: (message: ToWorker) => void,
  ) {}

  blocked(blocked: boolean): void {
    this.listener.blocked(blocked);
    clearTimeout(this.holding);
    if (blocked) this.holding = setTimeout(() => this.tell({ type: "hold", held: true }), HELD);
    else this.tell({ type: "hold", held: false });
  }

  close(): void {
    clearTimeout(this.holding);
  }

  report(report: Report): void {
    const now = performance.now();
    const latency = report.latency;
    if (latency === null || Math.abs(latency - this.latency.value) > 500) this.latency.reset();
    if (latency !== null) report.latency = this.latency.add(latency, (now - this.last) / 1000);
    this.last = now;
    this.listener.report(report);
    if (now < this.next) return;
    this.next = now + STATS;
    const { profile, target, jitter, drift, underruns, skips } = report;
    this.tell({
      type: "stats",
      stats: {
        profile,
        ...(report.latency !== null && { latency: tenths(report.latency) }),
        target: tenths(target),
        jitter: tenths(jitter),
        drift: tenths(drift),
        underruns,
        skips,
      },
    });
  }
}

function tenths(x: number): number {
  return Math.round(x * 10) / 10;
}
