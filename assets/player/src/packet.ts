/** One Opus packet (RFC 6716) with its place in the stream. */
export interface Packet {
  /** Counts the packets of one publisher and wraps at 2^32. */
  seq: number;
  /** When the first sample was captured, in microseconds of the publisher's clock. */
  at: number;
  /** The Opus packet; a view into the message. */
  data: Uint8Array;
}

/** Says that a binary message is not of the wire form. */
export class MessageError extends Error {}

const KIND_PACKETS = 1;
const HEADER = 14;
const MAX_DATA = 3 * 1275 + 7; // 60 ms as three frames: RFC 6716 section 3.2.5

/**
 * Returns the packets of one binary message, oldest first. The wire form is
 * described in audio/packet.go, and audio/testdata/packets.json pins both sides
 * to it. Throws a MessageError for anything else.
 */
export function parseMessage(message: ArrayBuffer): Packet[] {
  const view = new DataView(message);
  if (view.byteLength === 0 || view.getUint8(0) !== KIND_PACKETS) {
    throw new MessageError("unknown kind");
  }
  const packets: Packet[] = [];
  for (let offset = 1; offset < view.byteLength; ) {
    if (view.byteLength - offset < HEADER) throw new MessageError("truncated header");
    const high = view.getUint32(offset + 4);
    const low = view.getUint32(offset + 8);
    const size = view.getUint16(offset + 12);
    // Compared in halves: as a number 2^53 + 1 is 2^53 already.
    if (high > 2 ** 21 || (high === 2 ** 21 && low > 0)) throw new MessageError("time stamp out of range");
    if (size === 0 || size > MAX_DATA) throw new MessageError(`packet of ${size} bytes`);
    if (view.byteLength - offset < HEADER + size) throw new MessageError("truncated packet");
    packets.push({
      seq: view.getUint32(offset),
      at: high * 2 ** 32 + low,
      data: new Uint8Array(message, offset + HEADER, size),
    });
    offset += HEADER + size;
  }
  if (packets.length === 0) throw new MessageError("no packet");
  return packets;
}
