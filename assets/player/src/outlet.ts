/**
 * Whether this is iOS or iPadOS, which silences an AudioContext when the screen
 * locks, but not an <audio> element. iPads say that they are Macs.
 */
function isIOS(): boolean {
  return /iP(hone|ad|od)/.test(navigator.userAgent) || (navigator.platform === "MacIntel" && navigator.maxTouchPoints > 1);
}

/**
 * Where the graph's sound goes out: the device, or on iOS an <audio> element that
 * is fed from the graph. Call everything in a click's handler where there is one.
 */
export class Outlet {
  private readonly audio: HTMLAudioElement | null = null;
  private readonly stream: MediaStreamAudioDestinationNode | null = null;

  constructor(
    private readonly context: AudioContext,
    private readonly node: AudioNode,
  ) {
    if (!isIOS()) {
      node.connect(context.destination);
      return;
    }
    this.stream = context.createMediaStreamDestination();
    node.connect(this.stream);
    this.audio = new Audio();
    this.audio.srcObject = this.stream.stream;
  }

  /** Whether the sound goes straight to the device. */
  get direct(): boolean {
    return this.audio === null;
  }

  /** Starts the element, or starts it again after an interruption. */
  start(): void {
    const { audio, stream } = this;
    if (!audio || !stream || !audio.paused || !audio.srcObject) return;
    audio.play().catch((error: unknown) => {
      // Not because it was stopped: then sound without the lock screen is better than none.
      if (!audio.srcObject || (error instanceof DOMException && error.name === "AbortError")) return;
      this.node.disconnect(stream);
      this.node.connect(this.context.destination);
      audio.srcObject = null;
    });
  }

  close(): void {
    if (!this.audio) return;
    this.audio.pause();
    this.audio.srcObject = null;
  }
}
