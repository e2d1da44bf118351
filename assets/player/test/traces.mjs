// Writes test/data/trace-*.json: how long each packet of a stream travelled over
// some network. They are made up here, from a fixed seed and after what such
// networks are known to do; nothing of it was recorded. `node test/traces.mjs`
// writes the same files again.

import { writeFileSync } from "node:fs";

const FRAME = 20; // ms
const SECONDS = 240;

/** mulberry32: numbers in 0 to 1. */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Times from about `first` seconds on, `every` seconds apart give or take a third, each with a length of so many ms. */
function events(next, first, every, from, to) {
  const all = [];
  for (let at = first; at < SECONDS; at += every * (0.67 + 0.67 * next())) all.push({ at: at * 1000, ms: from + (to - from) * next() });
  return all;
}

/** Writes one trace. delay: ms by time and number; holds: times in which nothing gets through, and all of it together at the end. */
function write(name, about, delay, holds) {
  const delays = [];
  let last = 0;
  for (let i = 0; i < (SECONDS * 1000) / FRAME; i++) {
    const sent = (i + 1) * FRAME;
    let arrives = sent + delay(sent, i);
    for (const { at, ms } of holds) if (arrives >= at && arrives < at + ms) arrives = at + ms;
    last = Math.max(last, arrives); // TCP: in order
    delays.push(Math.round((last - sent) * 10));
  }
  const trace = { about: `${about} Made by test/traces.mjs, not recorded.`, frame: FRAME, unit: "0.1 ms", delays };
  writeFileSync(new URL(`data/trace-${name}.json`, import.meta.url), `${JSON.stringify(trace).replace(/((?:\d+,){50})/g, "$1\n")}\n`);
}

{
  const next = random(1);
  const delay = () => 0.3 - 0.2 * Math.log(1 - next()) + (next() < 0.01 ? 4 * next() : 0);
  write("lan", "A wired network: half a millisecond, now and then a few for a busy computer.", delay, []);
}
{
  const next = random(2);
  const delay = () => 2 - 1.5 * Math.log(1 - next()) + (next() < 0.03 ? 25 * next() : 0);
  const scans = events(next, 8, 15, 60, 140);
  write("wifi", "Wi-Fi: some milliseconds, sleeps of up to 25 ms, and every quarter of a minute a scan that holds everything for 60 to 140 ms.", delay, scans);
}
{
  const next = random(3);
  let drift = 0;
  const delay = () => {
    drift = Math.max(-20, Math.min(20, drift + next() - 0.5));
    return 45 + drift + 10 * Math.floor(4 * next() ** 3) - 4 * Math.log(1 - next());
  };
  const handovers = events(next, 20, 45, 150, 450);
  const tunnels = [{ at: 90_000, ms: 1300 }, { at: 112_000, ms: 900 }, { at: 131_000, ms: 1600 }];
  write("mobile", "A phone in a train: 45 ms that wander by 20, steps of 10, handovers of 150 to 450 ms and three tunnels of about a second.", delay, [...handovers, ...tunnels]);
}
