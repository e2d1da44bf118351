/** How a buffer is kept: as close to live as stays clean, with a reserve, or well behind. */
export type Profile = "live" | "balanced" | "radio";

/** What the listener chose; auto finds the profile by itself. */
export type Choice = "auto" | Profile;

export const CHOICES: readonly Choice[] = ["auto", "live", "balanced", "radio"];

/** The least that each buffers, in ms. What the network asks for comes on top where it is more. */
export const LEAST: Record<Profile, number> = { live: 0, balanced: 200, radio: 2000 };

const UP: Record<Profile, Profile> = { live: "balanced", balanced: "radio", radio: "radio" };
const DOWN: Record<Profile, Profile> = { live: "live", balanced: "live", radio: "balanced" };

/** What is played with at first. */
export function firstProfile(choice: Choice): Profile {
  return choice === "auto" ? "live" : choice;
}

/** So many underruns within so long are no accident. */
const TROUBLES = 3;
const WINDOW = 120_000; // ms

/** Jitter that asks for more than the next profile's least for so long makes it that profile. */
const LASTING = 45_000; // ms

/** How long nothing must have gone wrong to go down again; doubled each time that this was too soon. */
const CALM = 180_000; // ms
const LONGEST = 3_600_000; // ms

/** What is so much too late for the profile below would have been heard there. */
const MARGIN = 20; // ms

/**
 * Finds the profile for a network: up after repeated underruns or while jitter
 * is lastingly high, down slowly. Times are ms of any one clock. Allocates
 * nothing after construction.
 */
export class Auto {
  profile: Profile = "live";
  /** Lateness at the last underruns and when they were, oldest first. */
  private readonly late = new Float64Array(TROUBLES);
  private readonly when = new Float64Array(TROUBLES).fill(-Infinity);
  private highSince = NaN;
  private calmSince = NaN;
  private calm = CALM;
  private fell = false;

  /**
   * Takes a message into account: how much later than typical it came; whether the
   * buffer ran dry waiting for it; what the measured jitter asks to be buffered; and
   * what live would buffer. Returns the profile.
   */
  update(now: number, late: number, dry: boolean, need: number, live: number): Profile {
    if (Number.isNaN(this.calmSince)) this.calmSince = now;
    if (dry) this.underrun(now, late);
    const above = UP[this.profile];
    if (above === this.profile || need < LEAST[above]) this.highSince = NaN;
    else if (Number.isNaN(this.highSince)) this.highSince = now;
    else if (now - this.highSince > LASTING) this.move(above, now);

    if (this.profile === "live") return this.profile;
    const below = DOWN[this.profile];
    if (dry || late > Math.max(LEAST[below], live) - MARGIN || need > LEAST[this.profile]) this.calmSince = now;
    if (now - this.calmSince > this.calm) {
      this.fell = true;
      this.move(below, now);
    }
    return this.profile;
  }

  private underrun(now: number, late: number): void {
    this.late.copyWithin(0, 1);
    this.when.copyWithin(0, 1);
    this.late[TROUBLES - 1] = late;
    this.when[TROUBLES - 1] = now;
    if (now - this.when[0]! > WINDOW || this.profile === "radio") return;
    // What balanced could not have covered either asks for radio at once.
    let beyond = 0;
    for (const each of this.late) if (each > LEAST.balanced) beyond++;
    this.move(beyond > TROUBLES / 2 ? "radio" : UP[this.profile], now);
  }

  private move(to: Profile, now: number): void {
    const up = LEAST[to] > LEAST[this.profile];
    if (up && this.fell) {
      this.calm = Math.min(LONGEST, 2 * this.calm);
      this.fell = false;
    }
    this.profile = to;
    this.calmSince = now;
    this.highSince = NaN;
    this.when.fill(-Infinity);
  }
}
