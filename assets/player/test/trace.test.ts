import assert from "node:assert/strict";
import { test } from "node:test";
import type { Choice } from "../src/profile";
import lan from "./data/trace-lan.json";
import mobile from "./data/trace-mobile.json";
import wifi from "./data/trace-wifi.json";
import { Ear, simulate } from "./simulate";

interface Trace {
  frame: number;
  /** 0.1 ms */
  delays: number[];
}

/** Plays a trace from its start, and returns the figures and the profiles with the times that they began, in seconds. */
function play({ frame, delays }: Trace, choice: Choice) {
  const ear = new Ear();
  const profiles: [string, number][] = [];
  const underruns: number[] = [];
  let highest = 0;
  const figures = simulate({
    frame,
    seconds: (delays.length * frame) / 1000 - 1,
    delay: (i) => delays[i]! / 10,
    config: { choice },
    heard: ear.heard,
    came(playout, time) {
      const { profile, target, underruns: n } = playout.figures();
      if (profiles[profiles.length - 1]?.[0] !== profile) profiles.push([profile, Math.round(time)]);
      if (n > underruns.length) underruns.push(time);
      highest = Math.max(highest, target);
    },
  });
  assert(ear.step < 1.2 * Ear.TONE_STEP, `a click of ${ear.step} at ${ear.at} s`);
  if (process.env["SHOW"]) console.log(choice, figures, profiles, underruns.map(Math.round).join(), "highest", highest);
  return { figures, profiles, underruns, highest };
}

test("a LAN is played at the least", () => {
  for (const choice of ["live", "auto"] as const) {
    const { figures, highest } = play(lan, choice);
    assert.equal(figures.underruns, 0);
    assert.equal(figures.skips + figures.pauses, 0);
    assert.equal(figures.target, 50);
    assert(highest <= 61, `${highest} ms`);
  }
});

test("Wi-Fi with bursts: live learns them, balanced covers them, and auto sees no need", () => {
  const live = play(wifi, "live");
  assert(live.underruns.length <= 3, `underruns at ${live.underruns.join()}`);
  assert(live.highest < 200, `${live.highest} ms`);
  for (const [choice, target] of [["balanced", 200], ["radio", 2000]] as const) {
    const { figures } = play(wifi, choice);
    assert.equal(figures.underruns, 0);
    assert.equal(figures.skips + figures.pauses, 0);
    assert(Math.abs(figures.target - target) < 10, `${figures.target} ms`);
  }
  const auto = play(wifi, "auto");
  assert.deepEqual(auto.profiles.map(([profile]) => profile), ["live"]);
  assert.deepEqual(auto.underruns, live.underruns);
});

test("a train: radio covers it, and auto finds that out", () => {
  assert.equal(play(mobile, "radio").figures.underruns, 0);
  for (const choice of ["live", "balanced"] as const) {
    const { underruns, highest } = play(mobile, choice);
    assert(underruns.length >= 4 && underruns.length <= 10, `underruns at ${underruns.join()}`);
    assert(highest < 600, `${highest} ms`);
  }
  const auto = play(mobile, "auto");
  const [last, since] = auto.profiles[auto.profiles.length - 1]!;
  assert.equal(last, "radio");
  assert(since < 115, `radio since ${since} s`);
  assert.deepEqual(auto.underruns.filter((at) => at > since + 1), []);
});
