/** What every Opus packet decodes to here: samples a second and channel. */
export const OPUS_RATE = 48000;

/** Samples (at 48 kHz) of one frame, by the TOC byte's configuration number: RFC 6716 section 3.1, table 2. */
function frameSamples(config: number): number {
  if (config < 12) return [480, 960, 1920, 2880][config & 3]!; // SILK
  if (config < 16) return [480, 960][config & 1]!; // hybrid
  return [120, 240, 480, 960][config & 3]!; // CELT
}

/** How a packet is cut into frames: RFC 6716 section 3.2. */
export interface Frames {
  count: number;
  /** Samples of each frame at 48 kHz. */
  samples: number;
}

/** Reads a packet's first bytes. Returns null for one that no decoder takes. */
export function frames(data: Uint8Array): Frames | null {
  const toc = data[0];
  if (toc === undefined) return null;
  const samples = frameSamples(toc >> 3);
  let count: number;
  switch (toc & 3) {
    case 0:
      count = 1;
      break;
    case 3: {
      const second = data[1];
      if (second === undefined) return null;
      count = second & 63;
      break;
    }
    default:
      count = 2;
  }
  if (count === 0 || count * samples > 5760) return null; // [R5]: at most 120 ms
  return { count, samples };
}

/**
 * A packet that makes the decoder conceal one frame of the size of data's:
 * its TOC byte alone, as one frame of no bytes.
 */
export function concealment(data: Uint8Array): Uint8Array {
  return Uint8Array.of(data[0]! & 0xfc);
}
