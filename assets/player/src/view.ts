import type { Status } from "./connection";
import type { Refusal, Stream, StreamState } from "./protocol";

/** All that the page shows depends on. */
export interface Model {
  /** There is a link. */
  link: boolean;
  /** This browser can't play. */
  broken: boolean;
  /** What the server last told of the stream. */
  stream: Stream | null;
  /** The server did not answer when asked before play. */
  unreachable: boolean;
  /** Why there is no listening. */
  refusal: Refusal | null;
  /** The listener wants to hear. */
  wanted: boolean;
  status: Status | null;
  /** There was a connection, or a try at one, that failed. */
  lost: boolean;
  /** What the server said when it ended the connection, if it did. */
  why: Refusal | null;
  /** The browser holds the audio device back. */
  blocked: boolean;
  /** Sound is coming out. */
  sounding: boolean;
}

/** What the page is like: the value of data-state on the root element. */
export type State =
  | "unlinked"
  | "unsupported"
  | "asking"
  | "unreachable"
  | "ready"
  | "connecting"
  | "live"
  | "paused"
  | "interrupted"
  | "offline"
  | "reconnecting"
  | "blocked"
  | "ended";

/** What the page shows. */
export interface View {
  state: State;
  /** What is streamed, or by whom. */
  title: string;
  /** The state in a word or two, and what to make of it. */
  word: string;
  hint: string;
  button: "play" | "pause" | "none";
}

const AWAY: Record<Exclude<StreamState, "live">, [string, string]> = {
  paused: ["Paused", "You will hear it again when it goes on where it comes from."],
  interrupted: ["Waiting for sound", "The laptop's sound is not available just now. It goes on by itself."],
  offline: ["Laptop offline", "It goes on by itself when the laptop is back."],
};

/** Returns what to show. */
export function view(model: Model): View {
  const title = model.stream?.title || "Earshot";
  const show = (state: State, word: string, hint: string, button: View["button"]): View => ({ state, title, word, hint, button });

  if (!model.link) {
    return show("unlinked", "A link is needed", "Open the whole link that you were sent, or ask for a new one.", "none");
  }
  if (model.broken) {
    return show("unsupported", "This browser can't play", "Try a current Firefox, Chrome or Safari.", "none");
  }
  if (model.refusal) {
    const again = model.refusal.error === "replaced" || model.refusal.error === "in-use";
    return show("ended", model.refusal.title, model.refusal.say, again ? "play" : "none");
  }
  if (!model.wanted) return before(model, show);

  const { status, stream } = model;
  if (model.blocked) return show("blocked", "Held by the browser", "Press play to go on.", "play");
  if (status?.phase === "open" && stream) {
    if (stream.state !== "live") return show(stream.state, ...AWAY[stream.state], "pause");
    const soon = stream.expiring ? "This link ends in a minute. Ask for a new one to go on listening." : "";
    return model.sounding ? show("live", "Live", soon, "pause") : show("connecting", "Starting", soon, "pause");
  }
  if (model.lost) {
    const { title, say } = model.why ?? { title: "Reconnecting", say: "The connection was lost. Trying again." };
    return show("reconnecting", title, say, "pause");
  }
  return show("connecting", "Connecting", "", "pause");
}

type Show = (state: State, word: string, hint: string, button: View["button"]) => View;

function before({ stream, unreachable, lost, why }: Model, show: Show): View {
  if (unreachable || lost) {
    const { title, say } = why ?? { title: "No answer", say: "The laptop may be off or in another network. Trying again." };
    return show("unreachable", title, say, "play");
  }
  if (!stream) return show("asking", "Connecting", "", "play");
  if (stream.state === "live") return show("ready", "Live now", "Press play to listen.", "play");
  return show("ready", "Not playing just now", "Press play to hear it as soon as it goes on.", "play");
}
