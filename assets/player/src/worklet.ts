import { Glitches } from "./glitches";
import type { FromSink, PageToSink, ToSink } from "./messages";
import { Playout } from "./playout";
import { feed, report, type Setup } from "./sink";

const REPORT = 0.1; // s

/** Plays what comes through the port that it is given, on the audio thread. */
class Sink extends AudioWorkletProcessor {
  private readonly playout: Playout;
  private readonly glitches = new Glitches();
  private worker: MessagePort | null = null;
  private open = true;
  private unreported = 0;

  constructor({ processorOptions }: { processorOptions: Setup }) {
    super();
    this.playout = new Playout({ rate: sampleRate, ...processorOptions });
    this.port.onmessage = ({ data }: MessageEvent<PageToSink>) => {
      if (data.type === "listen") this.listen(data.port);
      else if (data.type === "choose") this.playout.choose(data.choice);
      else this.open = false;
    };
  }

  private listen(worker: MessagePort): void {
    this.worker = worker;
    worker.onmessage = ({ data }: MessageEvent<ToSink>) => feed(this.playout, data);
  }

  process(_: Float32Array[][], outputs: Float32Array[][]): boolean {
    const [left, right] = outputs[0]!;
    this.playout.render(left!, right!);
    this.glitches.add(Date.now(), currentTime * 1000);
    this.unreported += left!.length;
    if (this.unreported >= REPORT * sampleRate) {
      this.unreported = 0;
      if (this.worker) report(this.playout, this.worker);
      const time = currentTime + left!.length / sampleRate;
      const figures = { ...this.playout.figures(), glitches: this.glitches.count };
      this.port.postMessage({ type: "figures", figures, time } satisfies FromSink);
    }
    return this.open;
  }
}

registerProcessor("earshot-sink", Sink);
