import assert from "node:assert/strict";
import { test } from "node:test";
import type { ToSink } from "../src/messages";
import { Scheduled } from "../src/scheduled";
import { SCHEDULED } from "../src/sink";
import { Ear, RATE, random, tone } from "./simulate";

const QUANTUM = 128;

/** A buffer that plays at a time, as AudioBufferSourceNode does: exactly then, at once if that is past, until it is stopped. */
class Source {
  buffer: { channels: Float32Array[] } | null = null;
  from = Infinity;
  until = Infinity;

  constructor(private readonly context: Context) {}

  connect(): void {}

  start(when: number): void {
    this.from = Math.max(Math.round(when * RATE), this.context.rendered);
    this.context.sources.push(this);
  }

  stop(): void {
    this.until = this.context.rendered;
  }
}

/** An AudioContext that mixes its sources, a burst at a time, in simulated time. */
class Context {
  readonly sampleRate = RATE;
  readonly destination = {};
  rendered = 0;
  sources: Source[] = [];

  get currentTime(): number {
    return this.rendered / RATE;
  }

  createBuffer(count: number, length: number) {
    const channels = Array.from({ length: count }, () => new Float32Array(length));
    return { channels, copyToChannel: (from: Float32Array, i: number) => channels[i]!.set(from) };
  }

  createBufferSource(): Source {
    return new Source(this);
  }

  render(): Float32Array {
    const out = new Float32Array(QUANTUM);
    for (const { buffer, from, until } of this.sources) {
      const left = buffer!.channels[0]!;
      for (let i = 0; i < QUANTUM; i++) {
        const at = this.rendered + i;
        if (at >= from && at < from + left.length && at < until) out[i]! += left[at - from]!;
      }
    }
    this.rendered += QUANTUM;
    this.sources = this.sources.filter(({ buffer, from, until }) => Math.min(until, from + buffer!.channels[0]!.length) > this.rendered);
    return out;
  }
}

/** A page whose main thread is blocked at times. Seconds. */
interface World {
  seconds: number;
  /** When the main thread is blocked, and for how long. */
  blocks?: [number, number][];
  /** When the device asks for nothing, and for how long. */
  sleeps?: [number, number][];
  /** How late message i comes, in ms. */
  delay?: (i: number) => number;
  /** What happens on the main thread at a time. */
  events?: [number, (sink: Scheduled) => void][];
  burst?: number;
}

/** Plays the world through. The device takes bursts of samples; the clock is theirs. */
function play({ seconds, blocks = [], sleeps = [], delay = () => 0, events = [], burst = 512 }: World) {
  const context = new Context();
  const port = { onmessage: null as ((event: { data: ToSink }) => void) | null, postMessage() {}, close() {} };
  let now = 0;
  // Before Node 19 it is read-only, so it can't be assigned to.
  Object.defineProperty(performance, "now", { configurable: true, value: () => now * 1000 });
  const ear = new Ear();
  const seen: { time: number; target: number; fill: number; latency: number }[] = [];
  try {
    const setup = { ...SCHEDULED, choice: "live" as const };
    const sink = new Scheduled(context as unknown as AudioContext, {} as AudioNode, port as unknown as MessagePort, setup);
    const say = (data: ToSink) => port.onmessage!({ data });
    say({ type: "rejoin", length: 20 });
    say({ type: "live", live: true });
    let arrived = 0;
    let told = 0;
    let sent = 0;
    let slept = 0;
    const queue: (() => void)[] = [];
    for (let next = 0; now < seconds; ) {
      // The device's next burst, or the next message, whichever is first.
      const sleep = sleeps[0];
      if (sleep && (context.rendered + burst) / RATE >= sleep[0]) {
        slept += sleep[1];
        sleeps.shift();
      }
      const device = (context.rendered + burst) / RATE + slept;
      const sentAt = ((sent + 1) * 20) / 1000;
      const message = Math.max(arrived, sentAt + delay(sent) / 1000);
      if (device <= message) {
        now = device;
        for (let n = 0; n < burst; n += QUANTUM) {
          const time = context.currentTime;
          ear.heard(context.render(), time);
        }
      } else {
        now = arrived = message;
        const chunk = { ...tone(sent * 960, 960), at: sent * 20_000, arrived: 0, gap: sent === 0 };
        queue.push(() => say({ type: "chunk", chunk }));
        sent++;
      }
      if (blocks.some(([from, length]) => now >= from && now < from + length)) continue;
      for (; next < events.length && events[next]![0] <= now; next++) events[next]![1](sink);
      for (const call of queue.splice(0)) call();
      if (now - told > 0.1) {
        told = now;
        const { target, fill, at } = sink.figures();
        seen.push({ time: now, target, fill, latency: now * 1000 - at / 1000 });
      }
    }
    const figures = sink.figures();
    sink.close();
    assert(ear.step < 1.2 * Ear.TONE_STEP, `a click of ${ear.step} at ${ear.at} s`);
    return { figures, ear, seen };
  } finally {
    delete (performance as Partial<Performance>).now; // the prototype's is back
  }
}

test("scheduled: a free main thread plays without a gap, at the least", () => {
  const { figures, ear } = play({ seconds: 120 });
  assert.equal(figures.underruns + figures.skips + figures.pauses + figures.glitches, 0);
  assert.deepEqual(ear.silences, []);
  assert(figures.target <= 101, `${figures.target} ms`);
});

test("scheduled: a block of 400 ms is one gap, without a click, and the target comes back", () => {
  const { figures, ear, seen } = play({ seconds: 240, blocks: [[20, 0.4]] });
  assert.equal(figures.underruns, 1);
  assert.equal(ear.silences.length, 1);
  assert(ear.silences[0]!.ms < 400, `${ear.silences[0]!.ms} ms of silence`);
  const highest = Math.max(...seen.map(({ target }) => target));
  assert(highest > 380 && highest < 500, `${highest} ms`);
  assert(figures.target < 130, `${figures.target} ms`);
  assert(figures.skips <= 3, `${figures.skips} skips`);
});

test("scheduled: blocks that come again and again are learned", () => {
  const blocks = Array.from({ length: 20 }, (_, i): [number, number] => [10 + 15 * i, 0.4]);
  const { figures } = play({ seconds: 310, blocks });
  assert(figures.underruns <= 4, `${figures.underruns} underruns`);
});

test("scheduled: a device that slept goes on at live, without a click", () => {
  const { figures, seen } = play({ seconds: 30, sleeps: [[10, 4]] });
  assert(figures.fill < 180, `${figures.fill} ms`);
  for (const { time, latency } of seen) if (time > 16) assert(latency < 190, `${latency} ms at ${time} s`);
});

test("scheduled: blocks and bursts of any length make no click", () => {
  const next = random(11);
  for (let run = 0; run < 6; run++) {
    const blocks: [number, number][] = [];
    for (let at = 3; at < 57; at += 1 + 5 * next()) blocks.push([at, 0.7 * next() ** 2]);
    let held = 0;
    play({
      seconds: 60,
      blocks,
      burst: [256, 512, 1024, 2048][run % 4]!,
      delay: () => {
        held = Math.max(0, held - 20);
        if (next() < 0.004) held = 500 * next();
        return held + 6 * next();
      },
    });
  }
});

test("scheduled: another profile is one pause or one cross-fade", () => {
  const { figures, ear, seen } = play({
    seconds: 60,
    events: [
      [10, (sink) => sink.choose("radio")],
      [30, (sink) => sink.choose("live")],
    ],
  });
  const radio = seen.filter(({ time }) => time > 20 && time < 29);
  for (const { time, fill, latency } of radio) {
    assert(Math.abs(fill - 2000) < 30, `${fill} ms at ${time} s`);
    assert(Math.abs(latency - 2000) < 60, `${latency} ms at ${time} s`);
  }
  const live = seen.filter(({ time }) => time > 34);
  for (const { time, latency } of live) assert(latency < 190, `${latency} ms at ${time} s`);
  assert.equal(figures.pauses, 1);
  assert.equal(figures.skips, 1);
  assert.equal(figures.underruns, 0);
  assert.equal(ear.silences.length, 1);
});
