import type { Profile } from "./profile";
import type { Lane } from "./protocol";

/** What it takes to go to another lane. */
export interface Host {
  /** Asks the server for a lane. */
  ask(lane: Lane): void;
  /** Has enough held for messages of so many ms. */
  expect(length: number): void;
}

/** The lane that a listener is in: by the choice of its profile, or where a server that can't keep up asks it to go. */
export class Lanes {
  /** Where the server has asked us to go; and where it asks us to go once enough is held. */
  private given: Lane = "live";
  private offer: { lane: Lane; length: number } | null = null;
  private asked: Lane = "live";
  private open = false;

  constructor(
    private readonly host: Host,
    private profile: Profile,
  ) {}

  /** A connection is made: returns what it asks for at its beginning. */
  connect(): Lane {
    this.open = false;
    this.given = "live"; // the server may have moved the former one
    this.offer = null;
    this.asked = this.wanted();
    return this.asked;
  }

  /** Whether the connection is open: what was chosen meanwhile is asked for. */
  setOpen(open: boolean): void {
    this.open = open;
    this.ask();
  }

  /** The server asks us to go to a lane of messages of `length` ms, from those of `now` ms: to longer ones when enough is held, back at once. */
  move(lane: Lane, length: number, now: number): void {
    if (this.wanted(lane) !== lane) return; // we have chosen another
    if (length > now) {
      this.offer = { lane, length };
      this.host.expect(length);
      return;
    }
    this.go(lane);
  }

  /** How the buffer is kept, and the length of messages, in ms, for which it holds enough. */
  held(profile: Profile, covers: number): void {
    // Who chooses is in nobody's hands any more.
    if ((profile === "radio") !== (this.profile === "radio")) {
      this.given = "live";
      this.offer = null;
    }
    this.profile = profile;
    if (this.offer && covers >= this.offer.length) this.go(this.offer.lane);
    else this.ask();
  }

  private go(lane: Lane): void {
    this.given = lane;
    this.offer = null;
    this.ask();
  }

  private ask(): void {
    const lane = this.wanted();
    if (!this.open || lane === this.asked) return;
    this.asked = lane;
    this.host.ask(lane);
  }

  /** Radio saves the battery by messages of a second; the others need all that their buffer covers, but for what the server asks. */
  private wanted(given = this.given): Lane {
    return this.profile === "radio" ? "radio" : given;
  }
}
