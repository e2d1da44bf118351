import type { SinkToWorker, ToSink } from "./messages";
import type { Figures, Playout } from "./playout";
import type { Choice } from "./profile";
import type { Limits } from "./target";

/** How the jitter buffer is kept in front of a sink. */
export interface Kind {
  limits: Limits;
  /** The first target, in ms. */
  start: number;
}

/** What a sink tells of itself. */
export interface SinkFigures extends Figures {
  /** Times that the device ran dry though there was sound for it. */
  glitches: number;
}

/** What a sink is made with. */
export type Setup = Kind & { choice: Choice };

/**
 * For an AudioWorklet. Slack covers that the device takes its samples in
 * bursts; 10 ms less underruns all the time.
 */
export const WORKLET: Kind = { limits: { slack: 20, device: 20, most: 4000 }, start: 60 };

/** For scheduled buffers, which the page's main thread has to bring in time. */
export const SCHEDULED: Kind = { limits: { slack: 70, device: 50, most: 4000 }, start: 120 };

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
      break;
    case "expect":
      playout.expect(message.length);
      break;
    case "forget":
      playout.forget();
  }
}

/** Tells the worker what sound to ask for. */
export function report(playout: Playout, worker: MessagePort): void {
  const { target, covers, profile } = playout;
  worker.postMessage({ type: "target", target, covers, profile } satisfies SinkToWorker);
}
