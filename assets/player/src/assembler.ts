import type { Chunk } from "./chunk";
import { OPUS_RATE, concealment, frames } from "./opus";
import type { Packet } from "./packet";

/** Decoded samples of one packet, one array a channel, owned by the caller. */
export interface Samples {
  left: Float32Array;
  right: Float32Array;
}

/** An Opus decoder: stateful, one stream. Returns null for a packet that it can't decode. */
export interface Codec {
  decode(packet: Uint8Array): Samples | null;
}

/** What an Assembler met since it was made. */
export interface Losses {
  packets: number;
  /** Packets that never came, by the sequence numbers. */
  lost: number;
  /** How many of the lost ones were concealed. */
  concealed: number;
  /** Packets that came again or too late to be used. */
  late: number;
  /** Packets that the decoder refused. */
  broken: number;
}

/** Longest loss that is concealed, in samples: libopus has faded to silence by then. */
const CONCEAL = 0.1 * OPUS_RATE;

/** A jump of the stamps that is no rounding, in microseconds. */
const GAP = 5000;

/** A step back in the numbers by more than this is another publisher, not a late packet. */
const RESTART = 1 << 16;

/**
 * Turns packets into chunks of sound: in order, with what is lost concealed.
 * One for each connection's stream; not bound to any thread.
 */
export class Assembler {
  readonly losses: Losses = { packets: 0, lost: 0, concealed: 0, late: 0, broken: 0 };
  private seq: number | null = null;
  /** Where the last packet ended, in microseconds of the publisher's clock. */
  private end = 0;

  constructor(private readonly codec: Codec) {}

  /** Starts anew: the next packet continues nothing. */
  reset(): void {
    this.seq = null;
  }

  /** Returns the sound of one message's packets, contiguous packets in one chunk. */
  push(packets: Packet[], arrived: number): Chunk[] {
    const runs: Run[] = [];
    for (const packet of packets) this.packet(packet, runs);
    return runs.map((run) => run.chunk(arrived)).filter((chunk) => chunk.left.length > 0);
  }

  private packet(packet: Packet, runs: Run[]): void {
    const shape = frames(packet.data);
    if (!shape) {
      this.losses.broken++;
      return; // Not counted in seq, so that the next packet conceals it.
    }
    const step = this.seq === null ? 0 : (packet.seq - this.seq) | 0;
    if (this.seq !== null && step <= 0 && step > -RESTART) {
      this.losses.late++;
      return;
    }
    const samples = shape.count * shape.samples;
    const length = (samples * 1e6) / OPUS_RATE;
    const lost = step > 1 && step < RESTART ? step - 1 : 0;
    const start = packet.at - lost * length;
    let gap = this.seq === null || step <= 0 || step >= RESTART || Math.abs(start - this.end) > GAP;
    const conceal = lost * samples <= CONCEAL && !gap;
    if (lost > 0 && !conceal) gap = true;

    this.losses.packets++;
    this.losses.lost += lost;
    this.seq = packet.seq;
    this.end = packet.at + length;

    let run = runs[runs.length - 1];
    if (!run || gap) {
      run = new Run(conceal ? start : packet.at, gap);
      runs.push(run);
    }
    if (lost > 0 && conceal) {
      this.losses.concealed += lost;
      const stand = concealment(packet.data);
      for (let i = 0; i < lost * shape.count; i++) run.add(this.codec.decode(stand));
    }
    const sound = this.codec.decode(packet.data);
    if (!sound) this.losses.broken++;
    run.add(sound);
  }
}

/** Contiguous sound that grows by packets. */
class Run {
  private parts: Samples[] = [];

  constructor(
    private readonly at: number,
    private readonly gap: boolean,
  ) {}

  add(samples: Samples | null): void {
    if (samples) this.parts.push(samples);
  }

  chunk(arrived: number): Chunk {
    const { at, gap } = this;
    return { left: join(this.parts, "left"), right: join(this.parts, "right"), at, arrived, gap };
  }
}

function join(parts: Samples[], side: "left" | "right"): Float32Array {
  if (parts.length === 1) return parts[0]![side];
  const all = new Float32Array(parts.reduce((n, part) => n + part[side].length, 0));
  let n = 0;
  for (const part of parts) {
    all.set(part[side], n);
    n += part[side].length;
  }
  return all;
}
