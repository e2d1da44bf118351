import { isIOS } from "./outlet";

/** Chromium takes nothing for media that is shorter than 5 s. */
const SECONDS = 10;
const RATE = 8000;

/**
 * Makes the page a media player to the system: lock screen, headset keys and
 * notifications are for <audio> elements, not for Web Audio alone. It plays
 * silence; on iOS the Outlet's element does that job.
 */
export class Presence {
  private readonly audio = isIOS() ? null : new Audio(silence());

  /** Call it in a click's handler. */
  play(): void {
    if (!this.audio) return;
    this.audio.loop = true;
    this.audio.play().catch(() => undefined); // The sound doesn't depend on it.
  }

  pause(): void {
    this.audio?.pause();
  }
}

/** Returns the address of a WAV file without a sound. */
function silence(): string {
  const size = SECONDS * RATE;
  const file = new Uint8Array(44 + size).fill(128);
  const view = new DataView(file.buffer);
  const text = (at: number, letters: string) => file.set([...letters].map((it) => it.charCodeAt(0)), at);
  text(0, "RIFF");
  view.setUint32(4, 36 + size, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channel
  view.setUint32(24, RATE, true);
  view.setUint32(28, RATE, true); // bytes a second
  view.setUint16(32, 1, true); // bytes a sample
  view.setUint16(34, 8, true); // bits a sample
  text(36, "data");
  view.setUint32(40, size, true);
  return URL.createObjectURL(new Blob([file], { type: "audio/wav" }));
}
