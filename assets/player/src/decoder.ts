import { OpusDecoder } from "opus-decoder";
import type { Codec, Samples } from "./assembler";

/** Compiles libopus and returns a decoder of stereo at 48 kHz. */
export async function openDecoder(): Promise<Codec> {
  const decoder = new OpusDecoder({ channels: 2 });
  await decoder.ready;
  return {
    decode(packet: Uint8Array): Samples | null {
      const { channelData, samplesDecoded, errors } = decoder.decodeFrame(packet);
      const [left, right] = channelData;
      return errors.length > 0 || samplesDecoded === 0 || !left || !right ? null : { left, right };
    },
  };
}
