// Set by build.mjs: the hashed paths of what the page loads by itself.
declare const WORKER: string;
declare const WORKLET_MODULE: string;
// What an AudioWorkletGlobalScope has, as far as worklet.ts uses it:
// https://webaudio.github.io/web-audio-api/#AudioWorkletGlobalScope

declare const sampleRate: number;
declare const currentTime: number;

declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}

declare function registerProcessor(
  name: string,
  processor: new (options: { processorOptions: never }) => AudioWorkletProcessor & {
    process(inputs: Float32Array[][], outputs: Float32Array[][]): boolean;
  },
): void;
