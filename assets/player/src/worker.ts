import { Assembler } from "./assembler";
import { Connection, type Socket, type Status } from "./connection";
import { openDecoder } from "./decoder";
import type { FromWorker, SinkToWorker, ToSink, ToWorker } from "./messages";
import { MessageError, parseMessage } from "./packet";
import { askSession } from "./session";

// The worker: holds the socket and the decoder, away from whatever blocks the page.

type Opening = Extract<ToWorker, { type: "open" }>;

const scope = self as unknown as DedicatedWorkerGlobalScope;

function tell(message: FromWorker): void {
  scope.postMessage(message);
}

const decoder = openDecoder();
decoder.then(
  () => tell({ type: "ready" }),
  (error: unknown) => tell({ type: "broken", message: String(error) }),
);

/** Listening, from the page's "open" to its "close". */
class Listening {
  private readonly connection: Connection;
  private readonly report: ReturnType<typeof setInterval>;
  private joined = false;
  private buffer: number;

  constructor(
    private readonly opening: Opening,
    private readonly assembler: Assembler,
  ) {
    this.connection = new Connection({
      open: () => this.socket(),
      ask: () => askSession(opening.base, opening.token),
      status: (status) => this.status(status),
      binary: (message) => this.binary(message),
      random: Math.random,
      now: Date.now,
      after(ms, call) {
        const timer = setTimeout(call, ms);
        return () => clearTimeout(timer);
      },
    });
    this.buffer = opening.buffer;
    opening.port.onmessage = ({ data }: MessageEvent<SinkToWorker>) => {
      this.buffer = data.target;
    };
    this.connection.start();
    this.report = setInterval(() => tell({ type: "losses", losses: assembler.losses }), 1000);
  }

  hurry(): void {
    this.connection.hurry();
  }

  stop(): void {
    clearInterval(this.report);
    this.connection.stop();
    this.opening.port.close();
  }

  private socket(): Socket {
    const { base, token, page } = this.opening;
    const url = new URL(`${base}/listen`, scope.location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.search = new URLSearchParams({ page, buffer: String(Math.ceil(this.buffer)) }).toString();
    const socket = new WebSocket(url, ["earshot.v1", `earshot.bearer.${token}`]);
    socket.binaryType = "arraybuffer";
    return socket as Socket;
  }

  private status(status: Status): void {
    const open = status.phase === "open";
    if (open && !this.joined) {
      this.assembler.reset();
      this.sink({ type: "rejoin", length: status.stream.frame ?? 20 });
    }
    this.joined = open;
    this.sink({ type: "live", live: open && status.stream.state === "live" });
    tell({ type: "status", status });
  }

  private binary(message: ArrayBuffer): void {
    const arrived = performance.now();
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

scope.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  const current = listening;
  switch (data.type) {
    case "open":
      listening = listen(data);
      break;
    case "hurry":
      void current?.then((it) => it.hurry());
      return;
    case "close":
      listening = undefined;
  }
  void current?.then((it) => it.stop());
};
