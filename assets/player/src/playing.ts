import type { Offset } from "./clock";
import { epoch } from "./clock";
import type { FromSink, PageToSink } from "./messages";
import { Outlet } from "./outlet";
import { Output } from "./output";
import type { Choice } from "./profile";
import { Scheduled } from "./scheduled";
import { SCHEDULED, WORKLET, type SinkFigures } from "./sink";

/** How long the sound takes to fade when the listener stops. */
const FADE = 0.03; // s

/** How fast the volume follows the slider: a time constant. */
const GLIDE = 0.015; // s

const REPORT = 100; // ms

/** A device that has not started by then is held back: Firefox may take 2 s. */
const STARTED = 4000; // ms

/** How long to wait before the browser is asked again for a device that it took away. */
const AGAIN = 1000; // ms

/** How often the device is looked at, and how long its clock may stand though it runs: then it has died. iOS has that after calls. */
const WATCH = 1000; // ms
const DEAD = 2500; // ms

/** Longer than this from capture to ear is no latency but a wrong clock. */
const LONGEST = 60_000; // ms

/** Where sound is played through. */
export type Path = "worklet" | "scheduled";

/** How the playing goes. */
export interface Report extends SinkFigures {
  path: Path;
  /** From capture to ear, in ms; null while it isn't known. */
  latency: number | null;
  /** Whether that is all: some browsers don't tell what the device adds. */
  exact: boolean;
}

/** What a Playing works with and tells, on the main thread. */
export interface Owner {
  /** About ten times a second. */
  report(report: Report): void;
  /** The browser has stopped the device (a call, a lock screen), or has started it again. */
  blocked(blocked: boolean): void;
  /** What is known of the publisher's clock against epoch(). */
  readonly offset: Offset | null;
}

/** An audio device with the jitter buffer in front of it, from play to stop. */
export class Playing {
  private readonly context: AudioContext;
  private readonly volume: GainNode;
  private readonly outlet: Outlet;
  private readonly output: Output;
  private node: AudioWorkletNode | null = null;
  private scheduled: Scheduled | null = null;
  private timer: ReturnType<typeof setInterval> | undefined;
  private readonly watch: ReturnType<typeof setInterval>;
  private closed = false;
  private asked = -Infinity;
  /** The context's time when it was last looked at, when that was, and when it last moved. */
  private time = 0;
  private looked = performance.now();
  private moved = this.looked;
  /** Whether the device plays nothing any more, and only another one will. */
  dead = false;

  /** port: where the worker's sound comes from; gain: 0 to 1. Call it in a click's handler. */
  constructor(
    port: MessagePort,
    gain: number,
    private choice: Choice,
    private readonly owner: Owner,
  ) {
    // So far behind live, the device may take its time, and save the battery.
    this.context = new AudioContext({ latencyHint: choice === "radio" ? "playback" : "interactive" });
    this.volume = this.context.createGain();
    this.outlet = new Outlet(this.context, this.volume);
    this.output = new Output(this.context, this.outlet.direct && !/Firefox\//.test(navigator.userAgent));
    this.volume.gain.value = gain;
    this.context.onstatechange = () => this.changed();
    // So that iOS plays on with the ringer's switch off: W3C Audio Session.
    const { audioSession } = navigator as { audioSession?: EventTarget & { type: string; state: string } };
    if (audioSession) {
      audioSession.type = "playback";
      audioSession.addEventListener("statechange", this.regain);
    }
    this.resume(true);
    setTimeout(() => this.changed(), STARTED);
    this.watch = setInterval(() => this.look(), WATCH);
    void this.attach(port);
  }

  /** click: whether this is called in a click's handler. */
  resume(click: boolean): void {
    // Refused outside a click by some browsers; then the page asks for one.
    this.asked = performance.now();
    // A context that is resumed during an interruption may never play again.
    if (this.context.state === "interrupted" && !click) return;
    if (this.context.state !== "running") void this.context.resume().catch(() => undefined);
    this.outlet.start();
  }

  choose(choice: Choice): void {
    this.choice = choice;
    this.scheduled?.choose(choice);
    this.tell({ type: "choose", choice });
  }

  setGain(gain: number): void {
    this.volume.gain.setTargetAtTime(gain, this.context.currentTime, GLIDE);
  }

  close(): void {
    this.closed = true;
    clearInterval(this.timer);
    clearInterval(this.watch);
    const { audioSession } = navigator as { audioSession?: EventTarget };
    audioSession?.removeEventListener("statechange", this.regain);
    this.volume.gain.setTargetAtTime(0, this.context.currentTime, FADE / 4);
    setTimeout(() => {
      this.tell({ type: "close" });
      this.scheduled?.close();
      this.outlet.close();
      void this.context.close();
    }, FADE * 2000);
  }

  private changed(): void {
    if (this.closed) return;
    this.owner.blocked(this.dead || this.context.state !== "running");
    // After a call, say: "interrupted" has become "suspended", and nobody resumes it.
    if (this.context.state === "suspended") this.regain();
  }

  private readonly regain = (): void => {
    const wait = this.asked + AGAIN - performance.now();
    setTimeout(() => {
      if (!this.closed && this.context.state !== "running") this.resume(false);
    }, Math.max(0, wait));
  };

  /** Looks whether the device's clock still runs. */
  private look(): void {
    const now = performance.now();
    const { currentTime, state } = this.context;
    // A page that was asleep itself has seen nothing.
    if (currentTime !== this.time || state !== "running" || now - this.looked > 2 * WATCH) this.moved = now;
    this.time = currentTime;
    this.looked = now;
    this.setDead(now - this.moved > DEAD);
  }

  private setDead(dead: boolean): void {
    if (dead === this.dead) return;
    this.dead = dead;
    this.changed();
  }

  private async attach(port: MessagePort): Promise<void> {
    if (hasWorklet()) {
      try {
        await this.context.audioWorklet.addModule(WORKLET_MODULE);
        if (!this.closed) this.addWorklet(port);
        return;
      } catch (error) {
        console.warn("no audio worklet, falling back:", error);
      }
    }
    if (this.closed) return;
    const scheduled = new Scheduled(this.context, this.volume, port, { ...SCHEDULED, choice: this.choice });
    this.scheduled = scheduled;
    this.timer = setInterval(() => this.report(scheduled.figures(), this.context.currentTime, "scheduled"), REPORT);
  }

  private addWorklet(port: MessagePort): void {
    this.node = new AudioWorkletNode(this.context, "earshot-sink", {
      numberOfInputs: 0,
      outputChannelCount: [2],
      processorOptions: { ...WORKLET, choice: this.choice },
    });
    this.node.connect(this.volume);
    this.node.onprocessorerror = () => {
      clearInterval(this.watch);
      this.setDead(true);
    };
    this.tell({ type: "listen", port }, [port]);
    this.node.port.onmessage = ({ data }: MessageEvent<FromSink>) => {
      if (!this.closed) this.report(data.figures, data.time, "worklet");
    };
  }

  /** time: the context's time at which what is at figures.at is rendered. */
  private report(figures: SinkFigures, time: number, path: Path): void {
    const heard = this.output.heard(time, performance.now());
    const { offset } = this.owner;
    let latency: number | null = null;
    if (offset && figures.playing) {
      const ms = heard.at - performance.now() + epoch() + offset.value - figures.at / 1000;
      if (ms > -offset.error && ms < LONGEST) latency = Math.max(0, ms);
    }
    this.owner.report({ ...figures, path, latency, exact: heard.exact });
  }

  private tell(message: PageToSink, transfer: Transferable[] = []): void {
    this.node?.port.postMessage(message, transfer);
  }
}

/** Whether the page may use an AudioWorklet: secure pages only. The global class is there on others, too. */
export function hasWorklet(): boolean {
  return typeof AudioContext !== "undefined" && "audioWorklet" in AudioContext.prototype && isSecureContext;
}
