import { linkRefusal, type Refusal } from "./protocol";
import { pageID, plausible, readLink } from "./link";
import { loadChoice, saveChoice } from "./choice";
import type { Facts } from "./details";
import { Panel } from "./panel";
import { Player } from "./player";
import { askSession } from "./session";
import { view, type Model, type View } from "./view";
import type { Choice } from "./profile";
import { loadVolume, saveVolume } from "./volume";
import { backOff } from "./connection";

// The page: what it knows (model) and what it does about it. How it looks is
// view.ts and style.css.

function element<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`no #${id}`);
  return found;
}

const root = document.documentElement;
const titleText = element("title", HTMLElement);
const wordText = element("word", HTMLElement);
const hintText = element("hint", HTMLElement);
const button = element("play", HTMLButtonElement);
const slider = element("volume", HTMLInputElement);
const mute = element("mute", HTMLButtonElement);

const link = readLink();
const page = pageID();

const model: Model = {
  link: link !== null,
  broken: typeof AudioContext === "undefined" || typeof WebAssembly === "undefined",
  stream: null,
  unreachable: false,
  refusal: link && !plausible(link.token) ? linkRefusal("malformed", "It is not complete. Ask for a new one.") : null,
  wanted: false,
  status: null,
  lost: false,
  why: null,
  blocked: false,
  sounding: false,
};

const facts: Facts = { choice: loadChoice(), report: null, losses: null, bitrate: 0, secure: location.protocol === "https:" };
const panel = new Panel(facts, choose);

let player: Player | null = null;
try {
  player = new Player({
    status(status) {
      model.status = status;
      if (status.phase === "open") {
        model.stream = { ...model.stream, ...status.stream };
        model.lost = false;
        model.why = null;
      } else if (status.phase === "waiting") {
        model.lost = true;
        model.why = status.why;
      } else if (status.phase === "ended") {
        refuse(status.refusal);
      }
      render();
    },
    report(report) {
      for (const [name, value] of Object.entries(report)) {
        if (value === null) delete root.dataset[name];
        else root.dataset[name] = typeof value === "number" ? String(Math.round(value * 1000) / 1000) : String(value);
      }
      root.style.setProperty("--level", String(Math.min(1, Math.sqrt(report.peak))));
      facts.report = report;
      panel.update(facts);
      if (model.sounding !== report.playing) {
        model.sounding = report.playing;
        render();
      }
    },
    losses(losses, bitrate) {
      for (const [name, value] of Object.entries(losses)) root.dataset[name] = String(value);
      facts.losses = losses;
      facts.bitrate = bitrate;
    },
    blocked(blocked) {
      model.blocked = blocked;
      render();
    },
    broken() {
      model.broken = true;
      stop();
    },
  }, facts.choice);
} catch {
  model.broken = true;
}

function play(): void {
  if (!link || !player || model.broken) return;
  if (model.wanted && model.blocked) {
    player.wake(true);
    return;
  }
  model.refusal = null;
  model.wanted = true;
  model.status = null;
  model.lost = model.blocked = model.sounding = false;
  model.why = null;
  forget();
  player.play({ ...link, page });
  render();
}

function stop(): void {
  player?.stop();
  model.wanted = model.sounding = model.lost = false;
  root.style.removeProperty("--level");
  facts.report = null;
  panel.update(facts, true);
  render();
  if (document.visibilityState === "visible") void ask();
}

/** Takes away what was said of the last playing. */
function forget(): void {
  for (const name of Object.keys({ ...facts.report, ...facts.losses, latency: 0 })) delete root.dataset[name];
  facts.report = facts.losses = null;
  showChoice();
}

function choose(choice: Choice): void {
  facts.choice = choice;
  saveChoice(choice);
  player?.choose(choice);
  showChoice();
  panel.update(facts, true);
}

/** The choice, and until the player knows better the profile. */
function showChoice(): void {
  root.dataset["choice"] = facts.choice;
  if (!facts.report) root.dataset["profile"] = facts.choice === "auto" ? "live" : facts.choice;
}

function refuse(refusal: Refusal): void {
  if (!link?.token && refusal.error === "missing") {
    model.link = false; // A relay's stream that isn't public.
    stop();
    return;
  }
  model.refusal = refusal;
  stop();
}

/** How often a page that doesn't listen is brought up to date. */
const FRESH = 30_000; // ms

/** Asks what there is to hear, and again after a while; while listening the socket tells. */
let asking = 0;
async function ask(tries = 0): Promise<void> {
  if (!link || !model.link || model.wanted || model.refusal) return;
  const turn = ++asking;
  const answer = await askSession(link.base, link.token, page);
  if (turn !== asking || model.wanted) return;
  model.unreachable = answer.kind === "unreachable";
  model.why = (answer.kind === "unreachable" && answer.why) || null;
  if (answer.kind === "refused") {
    refuse(answer.refusal);
    return;
  }
  if (answer.kind === "welcome") model.stream = answer.stream;
  const again = model.unreachable ? tries + 1 : 0;
  setTimeout(
    () => turn === asking && (again || document.visibilityState === "visible") && void ask(again),
    again ? backOff(tries, Math.random()) : FRESH,
  );
  render();
}

function render(): void {
  const now = view(model);
  root.dataset["state"] = now.state;
  setText(titleText, now.title);
  setText(wordText, now.word);
  setText(hintText, now.hint);
  document.title = now.title === "Earshot" ? "Earshot" : `${now.title} · Earshot`;
  const label = now.button === "pause" ? "Pause" : "Play";
  if (button.getAttribute("aria-label") !== label) button.setAttribute("aria-label", label);
  button.dataset["icon"] = now.button === "pause" ? "pause" : "play";
  button.disabled = now.button === "none";
  announce(now);
}

/** Changes a text only if it is another, so that it is read out once. */
function setText(node: HTMLElement, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** Tells lock screens and headset buttons. */
function announce({ title, state, word }: View): void {
  const session = navigator.mediaSession;
  if (!session) return;
  const playing = model.wanted ? "playing" : state === "ready" ? "paused" : "none";
  if (session.playbackState !== playing) session.playbackState = playing;
  const artist = state === "live" || state === "ready" ? "Earshot" : word;
  if (session.metadata?.title === title && session.metadata.artist === artist) return;
  const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
  session.metadata = new MediaMetadata({ title, artist, artwork: icon ? [{ src: icon.href, sizes: "any", type: icon.type }] : [] });
}

function setVolume(volume: number, muted: boolean): void {
  slider.value = String(volume);
  slider.setAttribute("aria-valuetext", `${volume} %`);
  root.style.setProperty("--volume", `${volume}%`);
  mute.setAttribute("aria-pressed", String(muted));
  mute.classList.toggle("silent", muted || volume === 0);
  if (player) player.volume = muted ? 0 : volume / 100;
}

button.addEventListener("click", () => (button.dataset["icon"] === "pause" ? stop() : play()));

document.addEventListener("keydown", (event) => {
  // The space bar plays and pauses anywhere where it has no use of its own.
  if (event.key !== " " || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  if (button.disabled || (event.target instanceof Element && event.target.closest("button, summary, [type=radio]"))) return;
  event.preventDefault();
  button.click();
});

let muted = false;
slider.addEventListener("input", () => {
  muted = false;
  setVolume(slider.valueAsNumber, muted);
  saveVolume(slider.valueAsNumber);
});
mute.addEventListener("click", () => {
  muted = !muted;
  setVolume(slider.valueAsNumber, muted);
});

for (const [action, handle] of [["play", play], ["pause", stop], ["stop", stop]] as const) {
  try {
    navigator.mediaSession?.setActionHandler(action, handle);
  } catch {
    continue; // A browser that doesn't know the action.
  }
}

addEventListener("online", () => (model.wanted ? player?.wake() : void ask()));
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  if (model.wanted) player?.wake();
  else void ask();
});
addEventListener("focus", () => model.wanted && player?.wake()); // back from a call, say
// A page that is left may be kept in memory, with its connections, to go back to.
addEventListener("pagehide", () => {
  if (model.wanted) stop();
  player?.leave();
});
addEventListener("pageshow", () => player?.back());
// Another link pasted into the address bar: the same document, so start over with it.
addEventListener("hashchange", () => location.hash.length > 1 && location.reload());

setVolume(loadVolume(), muted);
showChoice();
render();
void ask();
