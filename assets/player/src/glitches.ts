/** How long the least lag is taken over, and what growth of it is no unevenness. */
const WINDOW = 500; // ms
const STEP = 5; // ms

/** A device that has just started is uneven. */
const STARTING = 2000; // ms

/** More than this is a device that slept. */
const SLEPT = 2000; // ms

/**
 * Counts the times that the device ran dry though we had sound for it: a device
 * that is fed too late plays nothing meanwhile, and its clock is behind from then
 * on. (Chromium's own AudioPlaybackStats stayed at 0 where PulseAudio had gaps of
 * up to 60 ms.) Allocates nothing; not bound to a thread.
 */
export class Glitches {
  count = 0;
  private began = NaN;
  private since = NaN;
  private least = Infinity;
  private before = Infinity;

  /** now, time: the wall clock and the device's clock, in ms, read at the same time. */
  add(now: number, time: number): void {
    const lag = now - time;
    if (Number.isNaN(this.since)) this.since = this.began = now;
    if (now - this.since < WINDOW) {
      this.least = Math.min(this.least, lag);
      return;
    }
    const growth = this.least - this.before;
    if (growth > STEP && growth < SLEPT && now - this.began > STARTING) this.count++;
    this.before = this.least;
    this.least = lag;
    this.since = now;
  }
}
