import { closing, isFinal, parseText, type Lane, type PageMessage, type Pong, type Refusal, type Stream } from "./protocol";
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
  /** Sends a ping. */
  ping(): void;
  /** Takes the answer to a ping. */
  pong(pong: Pong): void;
  /** Is asked to go to a lane of so many ms of sound in a message. */
  move(lane: Lane, length: number): void;
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
 * How long nothing may come until the server is asked for a sign of life: sound
 * while the stream is live, at least LATE longer than a message's, answers to
 * pings else. TCP itself may take as long again as the network was away to notice.
 */
const SILENT = 1000; // ms
const LATE = 500; // ms
const QUIET = 15_000; // ms

/** How long it has to answer; while live, SILENT. */
const ANSWER = 2000; // ms

/** How often that is looked at, while live and else. */
const LOOK = 250; // ms
const GLANCE = 1000; // ms

/** A look that is later than this was asleep meanwhile, and what was connected is gone. */
const SLEPT = 5000; // ms

/** What has not opened by then is opened anew when the network is back. */
const YOUNG = 1000; // ms

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
  /** When the socket was made, opened, heard of, asked for a sign of life, looked at. */
  private made = 0;
  private opened = 0;
  private heard = 0;
  private asked = 0;
  private looked = 0;
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
    const now = this.host.now();
    if (this.stream && this.stream.state !== "live") {
      this.doubt();
    } else if (this.waiting || now - (this.stream ? this.heard : this.made) > YOUNG) {
      this.tries = 0;
      this.connect();
    }
  }

  /** Sends a message, if the server listens. */
  send(message: PageMessage): void {
    if (this.stream) this.socket?.send(JSON.stringify(message));
  }

  private connect(): void {
    this.drop();
    this.waiting = false;
    this.opened = 0;
    this.made = this.host.now();
    this.host.status({ phase: "connecting" });
    const socket = this.host.open();
    this.socket = socket;
    const patience = this.known ? Math.min(OPENING, REOPENING * 1.5 ** this.tries) : OPENING;
    this.next = this.host.after(patience, () => this.retry(this.tries));
    socket.onopen = () => {
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
    if (message.type === "move") {
      if (this.stream) this.host.move(message.lane, message.length);
      return;
    }
    if (message.type === "expiring") {
      if (this.stream) this.stream = { ...this.stream, expiring: true };
    } else if (message.type === "lane") {
      if (this.stream) this.stream = { ...this.stream, length: message.length };
    } else {
      const { type, ...stream } = message;
      this.stream = type === "welcome" ? stream : { ...this.stream, ...stream };
    }
    if (!this.stream) return;
    this.known = true;
    this.why = null;
    this.next();
    this.looked = this.host.now();
    this.host.status({ phase: "open", stream: this.stream });
    this.guard();
  }

  /** Watches for silence: a network that went away closes no socket. */
  private guard(): void {
    this.watch();
    const now = this.host.now();
    const live = this.stream?.state === "live";
    const silence = live ? Math.max(SILENT, LATE + (this.stream?.length ?? 0)) : QUIET;
    const asleep = now - this.looked > SLEPT;
    this.looked = now;
    if (asleep) {
      this.connect();
    } else if (this.asked > this.heard && now - this.asked >= (live ? SILENT : ANSWER)) {
      this.retry(0);
    } else {
      if (now - this.heard >= silence) this.doubt();
      this.watch = this.host.after(live ? LOOK : GLANCE, () => this.guard());
    }
  }

  /** Asks the server for a sign of life, once. */
  private doubt(): void {
    if (this.asked > this.heard) return;
    this.asked = this.host.now();
    this.host.ping();
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
      else {
        this.why = (answer.kind === "unreachable" && answer.why) || this.why;
        this.retry(this.tries);
      }
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
