/** Decoded stereo sound at 48 kHz on its way to the jitter buffer. */
export interface Chunk {
  left: Float32Array;
  right: Float32Array;
  /** When the first sample was captured, in microseconds of the publisher's clock. */
  at: number;
  /** When its message arrived, in milliseconds of the receiving thread's clock. */
  arrived: number;
  /** It does not continue the chunk before: something between them is missing. */
  gap: boolean;
}
