import type { FromSink, ToSink } from "./messages";
import { Playout } from "./playout";
import { feed, report, type Setup } from "./sink";

const REPORT = 0.1; // s

/** Plays what comes through the port that it is given, on the audio thread. */
class Sink extends AudioWorkletProcessor {
  private readonly playout: Playout;
  private worker: MessagePort | null = null;
  private open = true;
  private unreported = 0;

  constructor({ processorOptions }: { processorOptions: Setup }) {
    super();
    this.playout = new Playout({ rate: sampleRate, ...processorOptions });
    this.port.onmessage = ({ data }: MessageEvent<MessagePort | null>) => {
      if (!data) this.open = false;
      else this.listen(data);
    };
  }

  private listen(worker: MessagePort): void {
    this.worker = worker;
    worker.onmessage = ({ data }: MessageEvent<ToSink>) => feed(this.playout, data);
  }

  process(_: Float32Array[][], outputs: Float32Array[][]): boolean {
    const [left, right] = outputs[0]!;
    this.playout.render(left!, right!);
    this.unreported += left!.length;
    if (this.unreported >= REPORT * sampleRate) {
      this.unreported = 0;
      if (this.worker) report(this.playout, this.worker);
      this.port.postMessage({ type: "figures", figures: this.playout.figures() } satisfies FromSink);
    }
    return this.open;
  }
}

registerProcessor("earshot-sink", Sink);
