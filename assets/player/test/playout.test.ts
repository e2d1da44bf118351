import assert from "node:assert/strict";
import { test } from "node:test";
import { Playout } from "../src/playout";
import { Ear, LIMITS, counting, random, simulate, tone, type World } from "./simulate";

/** Fades move the tone's steps a little, clicks far. */
const CLICK = 1.2 * Ear.TONE_STEP;

function listen(world: World) {
  const ear = new Ear();
  const figures = simulate({ ...world, heard: ear.heard });
  assert(ear.step < CLICK, `a click of ${ear.step} at ${ear.at} s`);
  return { ear, figures };
}

for (const ppm of [-300, 300]) {
  for (const jitter of [5, 30]) {
    test(`an hour at ${ppm} ppm, jitter 0 to ${jitter} ms`, () => {
      const next = random(jitter);
      let second = 0, sum = 0, n = 0, worst = 0;
      let ratios = 0, squares = 0, count = 0;
      const target = 50 + jitter;
      const figures = simulate({
        ppm,
        seconds: 3600,
        delay: () => jitter * next(),
        config: { reader: counting, start: target, fixed: true },
        came(playout, time) {
          if (time < 60) return;
          sum += playout.fill();
          n++;
          if (Math.floor(time) === second) return;
          second = Math.floor(time);
          worst = Math.max(worst, Math.abs(sum / n - target));
          sum = n = 0;
          if (time < 300) return;
          const { speed } = playout.figures();
          ratios += speed;
          squares += speed ** 2;
          count++;
        },
      });
      assert.equal(figures.underruns, 0);
      assert.equal(figures.skips, 0);
      assert(worst < 20, `fill ${worst} ms off`);
      const mean = ratios / count;
      assert(Math.abs(mean - ppm) < 15, `speed ${mean} ppm`);
      // 200 ppm are a third of a cent.
      const noise = Math.sqrt(Math.max(0, squares / count - mean ** 2));
      assert(noise < 200, `speed noise ${noise} ppm`);
      assert(Math.abs(figures.drift - ppm) < 120, `drift ${figures.drift} ppm`);
    });
  }
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
  const playout = new Playout({ rate: 48000, limits: LIMITS, start: 200 });
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
