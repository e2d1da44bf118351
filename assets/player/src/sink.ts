import type { SinkToWorker, ToSink } from "./messages";
import type { Playout } from "./playout";
import type { Limits } from "./target";

/** How the jitter buffer is kept in front of a sink. */
export interface Setup {
  limits: Limits;
  /** The first target, in ms; also what is asked for on joining. */
  start: number;
}

/**
 * For an AudioWorklet. Slack covers that the device takes its samples in
 * bursts; half a frame less underruns all the time.
 */
export const WORKLET: Setup = { limits: { slack: 30, device: 20, most: 4000 }, start: 60 };

/** For scheduled buffers, which the page's main thread has to bring in time. */
export const SCHEDULED: Setup = { limits: { slack: 80, device: 50, most: 4000 }, start: 120 };

/** Passes what the worker says on to the jitter buffer; ahead as in Playout.push. */
export function feed(playout: Playout, message: ToSink, ahead = 0): void {
  switch (message.type) {
    case "chunk":
      playout.push(message.chunk, ahead);
      break;
    case "live":
      playout.setLive(message.live);
      break;
    case "rejoin":
      playout.rejoin(message.length);
  }
}

/** Tells the worker how much sound to ask for when it connects again. */
export function report(playout: Playout, worker: MessagePort): void {
  worker.postMessage({ type: "target", target: playout.target } satisfies SinkToWorker);
}
