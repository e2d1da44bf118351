import table from "./codes.json";

/** How a stream is, as its server tells. */
export type StreamState = "live" | "paused" | "interrupted" | "offline";

/** What a stream tells of itself; every field but state may be missing. */
export interface Stream {
  state: StreamState;
  /** What the page calls the stream. */
  title?: string;
  /** What the owner sees this listener as. */
  name?: string;
  /** When the link ends, in seconds since 1970. */
  expires?: number;
  /** Sound in a packet, in milliseconds. */
  frame?: number;
  /** Sound in a message, in milliseconds, where that is another. */
  length?: number;
  /** Bits a second. */
  bitrate?: number;
  /** The link ends soon. */
  expiring?: boolean;
}

/** The answer to a ping. */
export interface Pong {
  type: "pong";
  /** The ping's. */
  t: number;
  /** When it was answered, in microseconds of the publisher's clock. */
  at: number;
}

/** A text message of the server. */
export type ServerMessage =
  | ({ type: "welcome" | "state" } & Stream)
  | Pong
  | { type: "expiring" }
  | { type: "lane"; length: number }
  /** It asks the listener to go to a lane with that much sound in a message: the computer is too busy, or no more. */
  | { type: "move"; lane: Lane; length: number };

/** How much sound a message holds: one packet, 100 ms, or a second's. server/lane.go has them. */
export type Lane = "live" | "balanced" | "radio";

/** How a listener plays, for the server to know. Times are in ms; what isn't known is absent. */
export interface Stats {
  profile: string;
  /** From capture to ear. */
  latency?: number;
  target: number;
  jitter: number;
  /** Of the clocks, in ppm. */
  drift: number;
  underruns: number;
  skips: number;
}

/** What the page sends. */
export type PageMessage =
  | { type: "ping"; t: number }
  | { type: "lane"; lane: Lane }
  | ({ type: "stats"; late: number; lost: number } & Stats);

/** Why a listener may not listen (any more), in words to show. */
export interface Refusal {
  /** Machine-readable: "expired", "signature", "replaced" … */
  error: string;
  title: string;
  say: string;
}

/** Reads a text message. Returns null for one that this version does not know. */
export function parseText(text: string): ServerMessage | null {
  const raw = parseJSON(text);
  const type = raw?.["type"];
  if (!raw) return null;
  if (type === "pong") {
    const { t, at } = raw;
    return isNumber(t) && isNumber(at) ? { type, t, at } : null;
  }
  if (type === "expiring") return { type };
  if (type === "lane") {
    const { length } = raw;
    return isNumber(length) && length > 0 ? { type, length } : null;
  }
  if (type === "move") {
    const { lane, length } = raw;
    const known = lane === "live" || lane === "balanced" || lane === "radio";
    return known && isNumber(length) && length > 0 ? { type, lane, length } : null;
  }
  if (type !== "welcome" && type !== "state") return null;
  const stream = parseStream(raw);
  return stream && { type, ...stream };
}

/** Reads what a welcome, a state message and a session have in common. Returns null if it has no state. */
export function parseStream(raw: Record<string, unknown>): Stream | null {
  const state = raw["state"];
  if (state !== "live" && state !== "paused" && state !== "interrupted" && state !== "offline") return null;
  const stream: Stream = { state };
  for (const key of ["title", "name"] as const) {
    const value = raw[key];
    if (typeof value === "string") stream[key] = value.slice(0, 200);
  }
  for (const key of ["expires", "frame", "bitrate"] as const) {
    const value = raw[key];
    if (isNumber(value)) stream[key] = value;
  }
  return stream;
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** Returns the object in a text, or null. */
export function parseJSON(text: string): Record<string, unknown> | null {
  try {
    const raw: unknown = JSON.parse(text);
    return typeof raw === "object" && raw !== null && !Array.isArray(raw) ? (raw as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** Close codes from here on mean: don't come back. */
const FINAL = 4400;

/** Whether a close code means that the player shall not come back. */
export function isFinal(code: number): boolean {
  return code >= FINAL;
}

/** Returns what a close code says to a listener, or null if it is none of the server's. */
export function closing(code: number, reason: string): Refusal | null {
  const known = table.codes.find((entry) => entry.code === code);
  if (known) return { error: known.name, title: known.title, say: known.say };
  if (!isFinal(code)) return null;
  return { error: `code-${code}`, title: "The stream has ended for this link", say: reason };
}

/** Words for a link that the server refuses at /api/session. */
export function linkRefusal(error: string, message: string): Refusal {
  const known = table.codes.find((entry) => entry.name === error);
  if (known) return { error, title: known.title, say: known.say };
  const title = error === "in-use" ? "This link is in use" : "This link does not work";
  return { error, title, say: message || "Ask for a new one." };
}
