import assert from "node:assert/strict";
import { test } from "node:test";
import { Playout } from "../src/playout";
import type { Choice } from "../src/profile";
import { Ear, LIMITS, random, simulate, tone, type World } from "./simulate";

/** Fades move the tone's steps a little, clicks far. */
const CLICK = 1.2 * Ear.TONE_STEP;

function listen(world: World) {
  const ear = new Ear();
  const figures = simulate({ ...world, heard: ear.heard });
  assert(ear.step < CLICK, `a click of ${ear.step} at ${ear.at} s`);
  return { ear, figures };
}

test("a calm network brings the target down to its least", () => {
  const next = random(1);
  const { figures, ear } = listen({ seconds: 120, delay: () => 2 * next() });
  assert.equal(figures.underruns, 0);
  assert(figures.target <= 51, `${figures.target} ms`);
  assert.deepEqual(ear.silences, []);
});

test("jitter that grows raises the target, once by a pause, and then nothing is missing", () => {
  const next = random(2);
  const late: number[] = [];
  let before = 0;
  const { figures } = listen({
    seconds: 90,
    delay: (i) => (i < 500 ? 3 : 80) * next(),
    came(playout, time) {
      const { underruns } = playout.figures();
      if (underruns > before && time > 40) late.push(time);
      before = underruns;
    },
  });
  assert.deepEqual(late, []);
  assert(figures.target > 70 && figures.target < 180, `${figures.target} ms`);
  assert(figures.pauses <= 3, `${figures.pauses} pauses`);
});

test("after a stall of 3 s the sound is at live again within a second", () => {
  let worst = 0;
  const { figures, ear } = listen({
    seconds: 30,
    delay: (i) => (i >= 500 && i < 650 ? (650 - i) * 20 : 0),
    came(playout, time) {
      if (time > 14.2 && time < 20) worst = Math.max(worst, playout.fill());
    },
  });
  assert.equal(figures.underruns, 1);
  assert.equal(ear.silences.length, 1);
  assert(ear.silences[0]!.ms < 3200, `${ear.silences[0]!.ms} ms of silence`);
  // It now covers what a stall of that kind would need, but no longer than that.
  assert(worst < 4000, `${worst} ms behind`);
});

test("what came before the device ran is not played late", () => {
  let fill = 0;
  const { figures } = listen({
    seconds: 5,
    runs: (time) => time > 1,
    came(playout, time) {
      if (time > 1.5 && fill === 0) fill = playout.fill();
    },
  });
  assert.equal(figures.underruns, 0);
  assert(fill < 90, `${fill} ms behind`);
});

test("a device that slept goes on at live", () => {
  const { figures } = listen({ seconds: 12, runs: (time) => time < 4 || time > 9 });
  assert(figures.fill < 100, `${figures.fill} ms behind`);
});

test("too much in the buffer is skipped by a cross-fade", () => {
  const { figures, ear } = listen({ seconds: 20, delay: (i) => (i < 300 ? 300 : 0), config: { start: 300, fixed: true } });
  assert(figures.skips >= 1 && figures.skips <= 2, `${figures.skips} skips`);
  assert(Math.abs(figures.fill - 300) < 45, `${figures.fill} ms`);
  assert.deepEqual(ear.silences, []);
});

test("the owner's pause is silence, not an underrun", () => {
  const { figures, ear } = listen({
    seconds: 12,
    sends: (i) => i < 200 || i >= 350,
    before(i, playout) {
      playout.setLive(i < 200 || i >= 350);
    },
  });
  assert.equal(figures.underruns, 0);
  assert.equal(ear.silences.length, 1);
});

test("a gap in the stream is faded", () => {
  const { figures } = listen({ seconds: 6, sends: (i) => i !== 100 });
  assert.equal(figures.underruns, 0);
});

test("sound that never comes does not raise the target", () => {
  const { figures } = listen({ seconds: 12, sends: (i) => i < 300 || i > 320 });
  assert.equal(figures.underruns, 1);
  assert(figures.target < 66, `${figures.target} ms`);
});

test("another connection goes on where the sound on the tape ends", () => {
  const playout = new Playout({ rate: 48000, limits: LIMITS, start: 200, now: () => 0 });
  const ear = new Ear();
  const out = new Float32Array(960);
  const push = (i: number, gap: boolean) =>
    playout.push({ ...tone(i * 960, 960), at: 1e9 + i * 20_000, arrived: i * 20, gap });
  let played = 0;
  const play = () => {
    playout.render(out, new Float32Array(960));
    ear.heard(out, played++ * 0.02);
  };
  for (let i = 0; i < 30; i++) {
    push(i, i === 0);
    play();
  }
  playout.rejoin(20);
  const fill = playout.fill();
  for (let i = 25; i < 60; i++) {
    push(i, i === 25);
    if (i === 29) assert(Math.abs(playout.fill() - fill) < 1, "what has been heard came again");
    if (i >= 30) play();
  }
  assert.deepEqual(ear.silences, []);
  assert(ear.step < 1.02 * Ear.TONE_STEP, `a step of ${ear.step}`);
  assert.equal(playout.figures().underruns, 0);
});

test("messages of a second", () => {
  const next = random(3);
  const { figures, ear } = listen({ frame: 1000, seconds: 120, delay: () => 40 * next(), ppm: 100, config: { start: 2000 } });
  assert.equal(figures.underruns, 0);
  assert.deepEqual(ear.silences, []);
});

test("messages become longer and shorter again without a gap", () => {
  const next = random(4);
  const fills: number[] = [];
  const { figures, ear } = listen({
    seconds: 60,
    delay: () => 5 * next(),
    lane: (i) => ((i >= 520 && i < 2025) || (i >= 2260 && i < 2375) ? 50 : 1),
    before(i, playout) {
      if (i === 500 || i === 2250) playout.choose("radio");
      if (i === 2020 || i === 2370) playout.choose("live"); // in the middle of a message
    },
    came(playout, time) {
      fills[Math.floor(time)] = playout.fill();
    },
  });
  assert.equal(figures.underruns, 0);
  assert.equal(figures.pauses, 2);
  assert.equal(ear.silences.length, 2);
  assert(figures.skips <= 4, `${figures.skips} skips`);
  assert(Math.abs(fills[35]! - 2000) < 20, `radio: ${fills[35]} ms`);
  for (const second of [42, 50]) assert(fills[second]! < 100, `live again: ${fills[second]} ms`);
});

test("a chosen profile that is further behind is one pause, one that is closer one cross-fade", () => {
  const choices: Record<number, Choice> = { 400: "radio", 1000: "live", 1800: "balanced" };
  const seen: Record<number, [number, number, number]> = {};
  const { figures, ear } = listen({
    seconds: 60,
    before(i, playout) {
      const choice = choices[i];
      if (choice) playout.choose(choice);
    },
    came(playout, time) {
      const { pauses, skips, fill } = playout.figures();
      seen[Math.floor(time)] = [pauses, skips, fill];
    },
  });
  assert.deepEqual(seen[7]!.slice(0, 2), [0, 0]);
  assert.deepEqual(seen[9]!.slice(0, 2), [1, 0]);
  assert(Math.abs(seen[19]![2] - 2000) < 20, `${seen[19]![2]} ms`);
  assert.deepEqual(seen[22]!.slice(0, 2), [1, 1]);
  assert(Math.abs(seen[30]![2] - 60) < 30, `${seen[30]![2]} ms`);
  assert.deepEqual(seen[50]!.slice(0, 2), [2, 1]);
  assert(Math.abs(figures.fill - 200) < 20, `${figures.fill} ms`);
  assert.equal(figures.underruns, 0);
  assert.equal(ear.silences.length, 2);
});

test("a choice right after the start is kept to at once", () => {
  const fills: number[] = [];
  simulate({
    seconds: 10,
    before(i, playout) {
      if (i === 20) playout.choose("radio");
    },
    came(playout, time) {
      fills[Math.floor(time)] = playout.figures().fill;
    },
  });
  for (const second of [5, 9]) assert(Math.abs(fills[second]! - 2000) < 20, `${fills[second]} ms after ${second} s`);
});

test("choices in quick succession end where the last one leads", () => {
  const keys: Choice[] = ["live", "balanced", "radio", "balanced", "live", "balanced", "radio", "balanced", "live", "balanced", "radio"];
  for (const apart of [2, 3, 5]) {
    const { figures } = listen({
      seconds: 45,
      before(i, playout) {
        const key = (i - 1500) / apart;
        if (Number.isInteger(key) && keys[key]) playout.choose(keys[key]);
      },
    });
    assert(Math.abs(figures.fill - 2000) < 20, `a key each ${apart * 20} ms: ${figures.fill} ms`);
  }
});

test("what came while the device slept for long is forgotten on demand, not played", () => {
  for (const choice of ["live", "radio"] as const) {
    const { figures, ear } = listen({
      seconds: 30,
      runs: (time) => time < 6 || time > 20,
      // The connection is left after a while, and there again with the device.
      sends: (i) => i < 500 || i >= 1010,
      before(i, playout) {
        if (i === 500) playout.forget();
      },
      config: { choice },
    });
    assert.equal(figures.underruns, 0);
    const [first] = ear.silences;
    assert(first && first.at < 20.02 && first.at + first.ms / 1000 > 20.2, `silence from ${first?.at} s, ${first?.ms} ms`);
  }
});

test("radio learns stalls of more than its two seconds", () => {
  const dry: number[] = [];
  const { figures } = listen({
    seconds: 300,
    delay: (i) => (i % 1000 >= 875 ? (1000 - (i % 1000)) * 20 : 0),
    config: { choice: "radio" },
    came(playout, time) {
      const { underruns } = playout.figures();
      if (underruns > dry.length) dry.push(Math.round(time));
    },
  });
  assert(figures.target > 2450 && figures.target < 3000, `${figures.target} ms`);
  assert(dry.length <= 4, `of 15 stalls, underruns at ${dry.join()} s`);
});

test("a port that stalls while the device plays is no sleep of the device", () => {
  const { figures, ear } = listen({
    seconds: 30,
    config: { choice: "radio" },
    handed: (arrival) => (arrival > 10 && arrival < 10.4 ? 10.4 : 0),
  });
  assert.equal(figures.underruns, 0);
  assert.deepEqual(ear.silences, []);
});

test("a gap that comes when nearly nothing is left does not click", () => {
  // The device has taken all but some milliseconds of what came before the gap.
  for (let left = 0; left < 8; left += 0.3) {
    listen({ seconds: 4, sends: (i) => i !== 100, burst: 128, config: { start: 40 + left, fixed: true } });
  }
});

test("radio that is chosen before the start starts that far behind", () => {
  const { figures, ear } = listen({ seconds: 10, delay: (i) => (i < 100 ? (100 - i) * 20 : 0), config: { choice: "radio" } });
  assert.equal(figures.profile, "radio");
  assert(Math.abs(figures.fill - 2000) < 30, `${figures.fill} ms`);
  assert.equal(figures.underruns + figures.pauses + figures.skips, 0);
  assert.deepEqual(ear.silences, []);
});

test("a burst while the sound is ending does not click", () => {
  for (let extra = 0; extra < 20; extra += 1.5) {
    listen({ seconds: 6, delay: (i) => (i >= 100 && i < 108 ? (108 - i) * 20 + extra : 0) });
  }
});
