import { closing, isFinal, parseText, type PageMessage, type Pong, type Refusal, type Stream } from "./protocol";
import type { Answer } from "./session";

/** The part of a WebSocket that a connection uses. */
export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  send(text: string): void;
  close(): void;
}

/** How a connection is. */
export type Status =
  | { phase: "connecting" }
  | { phase: "open"; stream: Stream }
  /** Comes back by itself; why: what the server said at the end, if it did. */
  | { phase: "waiting"; why: Refusal | null }
  /** Does not come back. */
  | { phase: "ended"; refusal: Refusal };

/** What a connection works with and reports to. */
export interface Host {
  /** Opens a socket to the stream. */
  open(): Socket;
  /** Asks the server why it would not let us in, which a browser can't see in a failed handshake. */
  ask(): Promise<Answer>;
  /** Is told each change. */
  status(status: Status): void;
  /** Takes a binary message. */
  binary(message: ArrayBuffer): void;
  /** Takes the answer to a ping. */
  pong(pong: Pong): void;
  /** 0 to 1. */
  random(): number;
  /** Milliseconds of a clock that goes on while the computer sleeps. */
  now(): number;
  /** Calls back after ms, unless the function that it returns is called before. */
  after(ms: number, call: () => void): () => void;
}

const FIRST = 400; // ms
const LONGEST = 10_000; // ms

/**
 * How long a socket may take to open. Soon after the network was away a new
 * handshake is quicker than the former one's next attempt, which is later each time.
 */
const OPENING = 10_000; // ms
const REOPENING = 2500; // ms

/**
 * A live stream that sends nothing for so long is dead, whatever the socket says:
 * TCP may take as long again as the network was away.
 */
const SILENT = 2000; // ms
const MESSAGES = 3;

/** A connection that lasted so long was no failure. */
const STEADY = 5000; // ms

/** How long to wait before the nth try in a row: doubling, and spread, so that many listeners don't come back at once. */
export function backOff(n: number, random: number): number {
  return Math.min(LONGEST, FIRST * 2 ** n) * (0.5 + random / 2);
}

/** One listener's connection: opens its socket again until it is told to stop or that there is no use. */
export class Connection {
  private socket: Socket | null = null;
  /** Call off the next step, and the watch for silence. */
  private next = nothing;
  private watch = nothing;
  private tries = 0;
  private opened = 0;
  private heard = 0;
  private stream: Stream | null = null;
  private why: Refusal | null = null;
  /** Whether there was a stream. */
  private known = false;
  private held = false;
  private waiting = false;
  private stopped = false;

  constructor(private readonly host: Host) {}

  start(): void {
    this.connect();
  }

  /** Closes; reports nothing more. */
  stop(): void {
    this.stopped = true;
    this.next();
    this.drop();
  }

  /** Leaves the server for as long as nobody could hear anything; status stays as it was. */
  hold(held: boolean): void {
    if (this.stopped || held === this.held) return;
    this.held = held;
    this.waiting = false;
    if (held) this.drop();
    else this.connect();
  }

  /** Tries at once what would be tried later, and replaces a socket that has gone quiet. */
  hurry(): void {
    if (this.stopped || this.held) return;
    if (this.waiting) {
      this.tries = 0;
      this.connect();
    } else if (this.stream && this.host.now() - this.heard > this.silence / 2) {
      this.retry(0);
    }
  }

  /** Sends a message, if the server listens. */
  send(message: PageMessage): void {
    if (this.stream) this.socket?.send(JSON.stringify(message));
  }

  private connect(): void {
    this.next();
    this.waiting = false;
    this.stream = null;
    this.opened = 0;
    this.host.status({ phase: "connecting" });
    const socket = this.host.open();
    this.socket = socket;
    const patience = this.known ? Math.min(OPENING, REOPENING * 1.5 ** this.tries) : OPENING;
    this.next = this.host.after(patience, () => this.retry(this.tries));
    socket.onopen = () => {
      this.next();
      this.opened = this.heard = this.host.now();
    };
    socket.onmessage = ({ data }) => {
      this.heard = this.host.now();
      if (typeof data === "string") this.text(data);
      else if (data instanceof ArrayBuffer) this.host.binary(data);
    };
    socket.onclose = ({ code, reason }) => this.closed(code, reason);
  }

  private text(text: string): void {
    const message = parseText(text);
    if (!message) return;
    if (message.type === "pong") {
      this.host.pong(message);
      return;
    }
    const { type, ...stream } = message;
    this.stream = type === "welcome" ? stream : { ...this.stream, ...stream };
    this.known = true;
    this.why = null;
    this.host.status({ phase: "open", stream: this.stream });
    this.guard();
  }

  /** Watches a live stream for silence: a network that went away closes no socket. */
  private guard(): void {
    this.watch();
    if (this.stream?.state !== "live") return;
    const left = this.heard + this.silence - this.host.now();
    if (left <= 0) this.retry(0);
    else this.watch = this.host.after(left, () => this.guard());
  }

  private get silence(): number {
    return Math.max(SILENT, MESSAGES * (this.stream?.frame ?? 0));
  }

  private closed(code: number, reason: string): void {
    const why = closing(code, reason);
    if (why && isFinal(code)) {
      this.end(why);
      return;
    }
    this.why = why ?? this.why;
    if (this.opened > 0) this.retry(this.host.now() - this.opened > STEADY ? 0 : this.tries);
    else this.failed();
  }

  /** The socket did not open. */
  private failed(): void {
    this.drop();
    this.host.status({ phase: "waiting", why: this.why });
    void this.host.ask().then((answer) => {
      if (this.stopped || this.held || this.socket) return;
      if (answer.kind === "refused") this.end(answer.refusal);
      else this.retry(this.tries);
    });
  }

  private retry(tries: number): void {
    this.drop();
    this.waiting = true;
    this.tries = tries + 1;
    this.host.status({ phase: "waiting", why: this.why });
    this.next();
    this.next = this.host.after(backOff(tries, this.host.random()), () => this.connect());
  }

  private end(why: Refusal): void {
    this.stop();
    this.host.status({ phase: "ended", refusal: why });
  }

  private drop(): void {
    this.next();
    this.watch();
    const { socket } = this;
    this.socket = null;
    this.stream = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}

function nothing(): void {}
