import type { Losses } from "./assembler";
import type { Report } from "./playing";
import type { Choice, Profile } from "./profile";

/** What the details are made of; null while there is none. */
export interface Facts {
  choice: Choice;
  report: Report | null;
  losses: Losses | null;
  /** Bits a second that come in. */
  bitrate: number;
  /** The connection is encrypted. */
  secure: boolean;
}

/** The details in words, by the names that index.html gives them. */
export interface Details {
  latency: string;
  buffer: string;
  jitter: string;
  lost: string;
  breaks: string;
  drift: string;
  profile: string;
  transport: string;
  path: string;
  bitrate: string;
  /** What the choice means. */
  hint: string;
}

const NONE = "–";

const NAMES: Record<Profile, string> = { live: "Live", balanced: "Balanced", radio: "Radio" };

const HINTS: Record<Choice, string> = {
  auto: "The smallest delay that stays clean.",
  live: "As close to live as stays clean.",
  balanced: "A little behind, for uneven networks.",
  radio: "Two seconds behind: for bad networks, and easy on the battery.",
};

/** Returns the details. */
export function details({ choice, report, losses, bitrate, secure }: Facts): Details {
  const profile = report?.profile ?? (choice === "auto" ? null : choice);
  return {
    latency: latency(report),
    buffer: report ? `${Math.round(report.fill)} of ${ms(report.target)}` : NONE,
    jitter: report ? ms(report.jitter) : NONE,
    lost: losses ? `${losses.lost} of ${count(losses.packets + losses.lost, "packet")}` : NONE,
    breaks: report ? breaks(report) : NONE,
    drift: report ? `${signed(report.drift)} ppm` : NONE,
    profile: profile ? NAMES[profile] + (choice === "auto" ? ", by itself" : "") : "By itself",
    transport: secure ? "WebSocket, encrypted" : "WebSocket",
    path: report ? (report.path === "worklet" ? "Audio worklet" : "Scheduled buffers") : NONE,
    bitrate: report && bitrate > 0 ? `${Math.round(bitrate / 1000)} kb/s` : NONE,
    hint: HINTS[choice],
  };
}

/** Returns how full a level meter is, 0 to 1, at a peak: from -60 dB on, in dB. */
export function meter(peak: number): number {
  return peak > 0 ? Math.max(0, Math.min(1, 1 + Math.log10(peak) / 3)) : 0;
}

function latency(report: Report | null): string {
  if (report?.latency == null) return NONE;
  return (report.exact ? "" : "at least ") + ms(report.latency);
}

function breaks({ underruns, skips, pauses, glitches }: Report): string {
  const parts = [
    underruns > 0 && count(underruns, "gap"),
    skips > 0 && count(skips, "skip"),
    pauses > 0 && count(pauses, "pause"),
    glitches > 0 && `${glitches} by the device`,
  ].filter((part) => part !== false);
  return parts.length > 0 ? parts.join(", ") : "None";
}

function ms(x: number): string {
  return `${Math.round(x)} ms`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}

function signed(x: number): string {
  const n = Math.round(x);
  return n > 0 ? `+${n}` : n < 0 ? `−${-n}` : "0";
}
