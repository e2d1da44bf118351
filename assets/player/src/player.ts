import type { Losses } from "./assembler";
import type { Status } from "./connection";
import type { FromSink, FromWorker, ToWorker } from "./messages";
import type { Figures } from "./playout";
import { Scheduled } from "./scheduled";
import { SCHEDULED, WORKLET } from "./sink";

/** How long the sound takes to fade when the listener stops. */
const FADE = 0.03; // s

/** How fast the volume follows the slider: a time constant. */
const GLIDE = 0.015; // s

/** Where sound is played through. */
export type Path = "worklet" | "scheduled";

/** What the player tells, on the main thread. */
export interface Listener {
  status(status: Status): void;
  /** About ten times a second while playing. */
  figures(figures: Figures, path: Path): void;
  losses(losses: Losses): void;
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
  private readonly worker = new Worker(WORKER);
  private playing: Playing | null = null;
  private gain = 1;

  constructor(private readonly listener: Listener) {
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.type === "broken") this.listener.broken();
      if (!this.playing) return;
      if (data.type === "status") this.listener.status(data.status);
      if (data.type === "losses") this.listener.losses(data.losses);
    };
    this.worker.onerror = () => this.listener.broken();
    // Into the cache, so that it is there at the click.
    if (hasWorklet()) void fetch(WORKLET_MODULE).catch(() => undefined);
  }

  /** Starts to play. Call it in a click's handler: browsers start no sound otherwise. */
  play(target: Target): void {
    this.stop();
    const { port1, port2 } = new MessageChannel();
    this.playing = new Playing(port2, this.gain, this.listener);
    const buffer = (hasWorklet() ? WORKLET : SCHEDULED).start;
    this.tell({ type: "open", ...target, buffer, port: port1 }, [port1]);
  }

  /** Stops, and leaves the server. */
  stop(): void {
    if (!this.playing) return;
    this.tell({ type: "close" });
    this.playing.close();
    this.playing = null;
  }

  /** Wakes what may have fallen asleep: call it when the page is shown, the network is back, or on a click. */
  wake(): void {
    if (!this.playing) return;
    this.playing.resume();
    this.tell({ type: "hurry" });
  }

  /** Sets the volume, 0 to 1 as heard. */
  set volume(volume: number) {
    this.gain = volume ** 2;
    this.playing?.setGain(this.gain);
  }

  private tell(message: ToWorker, transfer: Transferable[] = []): void {
    this.worker.postMessage(message, transfer);
  }
}

/** An audio device, from play to stop. */
class Playing {
  private readonly context = new AudioContext({ latencyHint: "interactive" });
  private readonly volume = this.context.createGain();
  private node: AudioWorkletNode | null = null;
  private scheduled: Scheduled | null = null;
  private timer: ReturnType<typeof setInterval> | undefined;
  private closed = false;

  constructor(
    port: MessagePort,
    gain: number,
    private readonly listener: Listener,
  ) {
    // So that iOS plays on with the ringer's switch off: W3C Audio Session.
    const { audioSession } = navigator as { audioSession?: { type: string } };
    if (audioSession) audioSession.type = "playback";
    this.volume.gain.value = gain;
    this.volume.connect(this.context.destination);
    this.context.onstatechange = () => {
      if (!this.closed) listener.blocked(this.context.state !== "running");
    };
    this.resume();
    void this.attach(port);
  }

  resume(): void {
    // Refused outside a click by some browsers; then the page asks for one.
    if (this.context.state !== "running") void this.context.resume().catch(() => undefined);
  }

  setGain(gain: number): void {
    this.volume.gain.setTargetAtTime(gain, this.context.currentTime, GLIDE);
  }

  close(): void {
    this.closed = true;
    clearInterval(this.timer);
    this.volume.gain.setTargetAtTime(0, this.context.currentTime, FADE / 4);
    setTimeout(() => {
      this.node?.port.postMessage(null);
      this.scheduled?.close();
      void this.context.close();
    }, FADE * 2000);
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
    const scheduled = new Scheduled(this.context, this.volume, port, SCHEDULED);
    this.scheduled = scheduled;
    this.timer = setInterval(() => this.listener.figures(scheduled.figures(), "scheduled"), 100);
  }

  private addWorklet(port: MessagePort): void {
    this.node = new AudioWorkletNode(this.context, "earshot-sink", {
      numberOfInputs: 0,
      outputChannelCount: [2],
      processorOptions: WORKLET,
    });
    this.node.connect(this.volume);
    this.node.port.postMessage(port, [port]);
    this.node.port.onmessage = ({ data }: MessageEvent<FromSink>) => {
      if (!this.closed) this.listener.figures(data.figures, "worklet");
    };
  }
}

/** Whether the page may use an AudioWorklet: secure pages only. The global class is there on others, too. */
function hasWorklet(): boolean {
  return typeof AudioContext !== "undefined" && "audioWorklet" in AudioContext.prototype && isSecureContext;
}
