/**
 * A low-pass of first order that no single value can move far: a stall's outliers
 * count as little more than ordinary jitter, a lasting change still gets through.
 */
export class Smooth {
  value = 0;
  /** Whether nothing was seen yet. */
  empty = true;

  /** tau: time constant in seconds; reach: how far off a value is still taken in full. */
  constructor(
    private readonly tau: number,
    private readonly reach: number,
  ) {}

  reset(): void {
    this.empty = true;
  }

  /** Takes the part `by` away from what was seen so far, as if every value had been less. */
  shift(by: number): void {
    this.value += by;
  }

  /** x: the value; dt: seconds that it stands for. */
  add(x: number, dt: number): number {
    if (this.empty) {
      this.empty = false;
      this.value = x;
      return x;
    }
    // A message that holds much sound is one value of many: average over several.
    const tau = Math.max(this.tau, 8 * dt);
    const off = Math.max(-this.reach, Math.min(this.reach, x - this.value));
    this.value += off * (1 - Math.exp(-dt / tau));
    return this.value;
  }
}
