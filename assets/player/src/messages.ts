import type { Chunk } from "./chunk";
import type { Losses } from "./assembler";
import type { Status } from "./connection";
import type { Offset } from "./clock";
import type { Choice, Profile } from "./profile";
import type { Stats } from "./protocol";
import type { SinkFigures } from "./sink";

/** What the page tells the worker. */
export type ToWorker =
  | {
      type: "open";
      /** Where the stream's paths begin: "" or "/NAME". */
      base: string;
      token: string;
      page: string;
      /** How much recent sound to ask for on joining, in ms, and how it is kept, until the sink says otherwise. */
      buffer: number;
      profile: Profile;
      /** Where the sound goes: the other end is the sink's. */
      port: MessagePort;
    }
  | { type: "close" }
  /** Nobody can hear anything just now, or can again: no need to receive, then. */
  | { type: "hold"; held: boolean }
  /** For the server to know. */
  | { type: "stats"; stats: Stats }
  /** The browser is online again, or the page was woken: don't wait. */
  | { type: "hurry" };

/** What the worker tells the page. */
export type FromWorker =
  /** It runs; the first message. */
  | { type: "up" }
  | { type: "broken"; message: string }
  | { type: "status"; status: Status }
  /** About once a second: what was lost, and the bits a second that come in. */
  | { type: "losses"; losses: Losses; bitrate: number }
  /** How the publisher's clock and epoch() go together. */
  | { type: "clock"; offset: Offset };

/** What the worker tells the sink. */
export type ToSink =
  | { type: "chunk"; chunk: Chunk }
  | { type: "live"; live: boolean }
  | { type: "rejoin"; length: number }
  /** Messages of so many ms of sound are to come: hold enough for them. */
  | { type: "expect"; length: number }
  /** What came until now is old. */
  | { type: "forget" };

/** What the sink tells the worker. */
export interface SinkToWorker {
  type: "target";
  /** What the jitter buffer holds at its target, in ms. */
  target: number;
  /** Sound in a message, in ms, for which what it holds is enough. */
  covers: number;
  profile: Profile;
}

/** What the page tells the sink in the AudioWorklet. */
export type PageToSink =
  /** Where the worker's sound comes from. */
  | { type: "listen"; port: MessagePort }
  | { type: "choose"; choice: Choice }
  | { type: "close" };

/** What the sink in the AudioWorklet tells the page. */
export interface FromSink {
  type: "figures";
  figures: SinkFigures;
  /** The context's time of figures.at, in seconds. */
  time: number;
}
