import { Assembler } from "./assembler";
import { Clock, epoch } from "./clock";
import { Connection, type Socket, type Status } from "./connection";
import { openDecoder } from "./decoder";
import { Lanes } from "./lane";
import type { FromWorker, SinkToWorker, ToSink, ToWorker } from "./messages";
import { MessageError, parseMessage } from "./packet";
import type { Stats } from "./protocol";
import { askSession } from "./session";

// The worker: holds the socket and the decoder, away from whatever blocks the page.

type Opening = Extract<ToWorker, { type: "open" }>;

const scope = self as unknown as DedicatedWorkerGlobalScope;

function tell(message: FromWorker): void {
  scope.postMessage(message);
}

const decoder = openDecoder();
decoder.catch((error: unknown) => tell({ type: "broken", message: String(error) }));

/** Listening, from the page's "open" to its "close". */
class Listening {
  private readonly connection: Connection;
  private readonly report: ReturnType<typeof setInterval>;
  private readonly clock = new Clock();
  private pinging: ReturnType<typeof setTimeout> | undefined;
  private joined = false;
  /** The publisher is gone. */
  private away = false;
  private buffer: number;
  private readonly lanes: Lanes;
  /** How much sound in a message the sink was told of. */
  private length = 0;
  /** Bytes that came since the last report, and when that was. */
  private bytes = 0;
  private reported = performance.now();

  constructor(
    private readonly opening: Opening,
    private readonly assembler: Assembler,
  ) {
    this.connection = new Connection({
      open: () => this.socket(),
      ask: () => askSession(opening.base, opening.token, opening.page),
      status: (status) => this.status(status),
      binary: (message) => this.binary(message),
      ping: () => this.ping(),
      pong: ({ t, at }) => this.pong(t, at),
      move: (lane, length) => this.lanes.move(lane, length, this.length),
      random: Math.random,
      now: Date.now,
      after(ms, call) {
        const timer = setTimeout(call, ms);
        return () => clearTimeout(timer);
      },
    });
    this.buffer = opening.buffer;
    this.lanes = new Lanes(
      {
        ask: (lane) => this.connection.send({ type: "lane", lane }),
        expect: (length) => this.sink({ type: "expect", length }),
      },
      opening.profile,
    );
    opening.port.onmessage = ({ data }: MessageEvent<SinkToWorker>) => {
      this.buffer = data.target;
      this.lanes.held(data.profile, data.covers);
    };
    this.connection.start();
    this.report = setInterval(() => this.tellLosses(), 1000);
  }

  hurry(): void {
    this.connection.hurry();
  }

  hold(held: boolean): void {
    this.connection.hold(held);
    if (held) this.sink({ type: "forget" });
  }

  stats(stats: Stats): void {
    const { late, lost } = this.assembler.losses;
    this.connection.send({ type: "stats", ...stats, late, lost });
  }

  stop(): void {
    clearInterval(this.report);
    clearTimeout(this.pinging);
    this.connection.stop();
    this.opening.port.close();
  }

  private socket(): Socket {
    const { base, token, page } = this.opening;
    const url = new URL(`${base}/listen`, scope.location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const query = { page, buffer: String(Math.ceil(this.buffer)), lane: this.lanes.connect(), attempt: String(Date.now()) };
    url.search = new URLSearchParams(query).toString();
    const socket = new WebSocket(url, token ? ["earshot.v1", `earshot.bearer.${token}`] : ["earshot.v1"]);
    socket.binaryType = "arraybuffer";
    return socket as Socket;
  }

  private status(status: Status): void {
    const open = status.phase === "open";
    // On a relay another publisher may follow, whose numbers and clock are others.
    const back = open && this.away && status.stream.state !== "offline";
    if (open) this.away = status.stream.state === "offline";
    const anew = open && (!this.joined || back);
    if (anew) this.assembler.reset();
    const length = open ? (status.stream.length ?? status.stream.frame ?? 20) : 0;
    if (open && (anew || length !== this.length)) this.sink({ type: "rejoin", length });
    this.length = length;
    if (open !== this.joined || back) {
      clearTimeout(this.pinging);
      this.clock.reset();
      if (open) this.ping();
    }
    this.joined = open;
    this.lanes.setOpen(open);
    this.sink({ type: "live", live: open && status.stream.state === "live" });
    tell({ type: "status", status });
  }

  private ping(): void {
    clearTimeout(this.pinging);
    const now = epoch();
    const wait = this.clock.ping(now);
    this.connection.send({ type: "ping", t: now });
    this.pinging = setTimeout(() => this.ping(), wait);
  }

  private pong(t: number, at: number): void {
    const now = epoch();
    this.clock.pong(t, at, now);
    const offset = this.clock.offset(now);
    if (offset) tell({ type: "clock", offset });
  }

  private tellLosses(): void {
    const now = performance.now();
    const bitrate = (this.bytes * 8000) / (now - this.reported);
    this.bytes = 0;
    this.reported = now;
    tell({ type: "losses", losses: this.assembler.losses, bitrate });
  }

  private binary(message: ArrayBuffer): void {
    const arrived = performance.now();
    this.bytes += message.byteLength;
    try {
      for (const chunk of this.assembler.push(parseMessage(message), arrived)) {
        this.sink({ type: "chunk", chunk }, [chunk.left.buffer, chunk.right.buffer]);
      }
    } catch (error) {
      // A later version's kind of message is none of our business.
      if (!(error instanceof MessageError)) throw error;
    }
  }

  private sink(message: ToSink, transfer: Transferable[] = []): void {
    this.opening.port.postMessage(message, transfer);
  }
}

let listening: Promise<Listening> | undefined;

async function listen(opening: Opening): Promise<Listening> {
  return new Listening(opening, new Assembler(await decoder));
}

tell({ type: "up" });
scope.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  const current = listening;
  switch (data.type) {
    case "open":
      listening = listen(data);
      break;
    case "hurry":
      void current?.then((it) => it.hurry());
      return;
    case "hold":
      void current?.then((it) => it.hold(data.held));
      return;
    case "stats":
      void current?.then((it) => it.stats(data.stats));
      return;
    case "close":
      listening = undefined;
  }
  void current?.then((it) => it.stop());
};
