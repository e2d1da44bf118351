import { Glitches } from "./glitches";
import type { ToSink } from "./messages";
import { Playout } from "./playout";
import type { Choice } from "./profile";
import { feed, report, type Setup, type SinkFigures } from "./sink";
import { FADE } from "./tape";

/** How far ahead of now the first buffer is put. */
const LEAD = 0.04; // s

/** What is nearer than this may be past already: the page sees the device's clock in steps, and late. */
const LATE = 0.015; // s

/** How much more than the target is scheduled: what is over stays where it can be skipped. */
const HORIZON = 40; // ms

/** The most that is scheduled: the rest stays where it can be skipped. */
const MOST = 1000; // ms

/** Longest and shortest buffer. */
const LONG = 0.02; // s
const SHORT = 0.005; // s

/**
 * Plays by scheduled AudioBufferSourceNodes, where the page has no AudioWorklet.
 * Main thread. Every buffer is followed by a fading tail, taken back when the
 * next buffer comes in time: so even a blocked page ends its sound without a click.
 */
export class Scheduled {
  private readonly playout: Playout;
  private readonly glitches = new Glitches();
  /** The sample, counted by the context's clock, behind the last scheduled one. */
  private until = 0;
  private tail: AudioBufferSourceNode | null = null;
  private now = 0;
  private readonly left: Float32Array<ArrayBuffer>;
  private readonly right: Float32Array<ArrayBuffer>;

  constructor(
    private readonly context: AudioContext,
    private readonly output: AudioNode,
    private readonly port: MessagePort,
    setup: Setup,
  ) {
    const rate = context.sampleRate;
    this.playout = new Playout({ rate, now: () => performance.now(), ...setup });
    this.left = new Float32Array(Math.round(LONG * rate));
    this.right = new Float32Array(this.left.length);
    port.onmessage = ({ data }: MessageEvent<ToSink>) => this.take(data);
  }

  /** Returns the figures, and tells the worker its part of them. */
  figures(): SinkFigures {
    report(this.playout, this.port);
    return { ...this.playout.figures(this.ahead()), glitches: this.glitches.count };
  }

  choose(choice: Choice): void {
    this.playout.choose(choice);
  }

  close(): void {
    this.port.onmessage = null;
    this.port.close();
  }

  private take(message: ToSink): void {
    // Blocked main threads delay more than the network: count from here.
    if (message.type === "chunk") message.chunk.arrived = performance.now();
    if (this.context.currentTime !== this.now) {
      this.glitches.add(performance.now(), this.context.currentTime * 1000);
      this.playout.touch();
    }
    this.check();
    feed(this.playout, message, this.ahead());
    this.schedule();
  }

  /** Milliseconds that are scheduled and not played. */
  private ahead(): number {
    return Math.max(0, (this.until / this.context.sampleRate - this.context.currentTime) * 1000);
  }

  /** Notes that all that was scheduled has been played. Before anything else, since what comes may change whose fault that is. */
  private check(): void {
    const { currentTime, sampleRate } = this.context;
    if (this.until < (currentTime + LATE) * sampleRate) this.playout.ranDry();
  }

  private schedule(): void {
    const { context, playout } = this;
    const rate = context.sampleRate;
    const now = context.currentTime;
    if (now === this.now) return; // Not running (yet).
    this.now = now;
    const waited = playout.waiting;
    if (this.until < (now + LATE) * rate) {
      if (!playout.ready(LEAD * 1000)) return;
      this.until = Math.ceil((now + LEAD) * rate);
    } else {
      playout.ready();
    }
    if (waited) this.tail = null; // It ends what was played before: let it.
    const least = Math.ceil(SHORT * rate);
    while (this.ahead() < Math.min(MOST, playout.target + HORIZON)) {
      const n = Math.min(playout.available(), this.left.length);
      if (n < least) return;
      playout.render(this.left, this.right, 0, n);
      this.play(n);
    }
  }

  private play(n: number): void {
    const { context, left, right } = this;
    const rate = context.sampleRate;
    this.tail?.stop();
    this.start(left.subarray(0, n), right.subarray(0, n));
    this.until += n;
    const fade = Math.min(n, Math.round((FADE / 48000) * rate));
    const mirror = (side: Float32Array) =>
      Float32Array.from({ length: fade }, (_, i) => side[n - 1 - i]! * (0.5 + 0.5 * Math.cos((Math.PI * (i + 0.5)) / fade)));
    this.tail = this.start(mirror(left), mirror(right));
  }

  private start(left: Float32Array<ArrayBuffer>, right: Float32Array<ArrayBuffer>): AudioBufferSourceNode {
    const buffer = this.context.createBuffer(2, left.length, this.context.sampleRate);
    buffer.copyToChannel(left, 0);
    buffer.copyToChannel(right, 1);
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.output);
    source.start(this.until / this.context.sampleRate);
    return source;
  }
}
