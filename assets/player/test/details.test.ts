import assert from "node:assert/strict";
import { test } from "node:test";
import { details, meter, type Facts } from "../src/details";
import type { Report } from "../src/playing";

const report: Report = {
  playing: true, profile: "live", target: 60, fill: 58.7, jitter: 4, speed: 20, drift: -12.4,
  underruns: 0, skips: 0, pauses: 0, at: 1e9, peak: 0.5, glitches: 0, path: "worklet", latency: 74.3, exact: true,
};
const facts: Facts = {
  choice: "auto",
  report,
  losses: { packets: 998, lost: 2, concealed: 2, late: 0, broken: 0 },
  bitrate: 127_600,
  secure: false,
};

test("details in words", () => {
  assert.deepEqual(details(facts), {
    latency: "74 ms",
    buffer: "59 of 60 ms",
    jitter: "4 ms",
    lost: "2 of 1000 packets",
    breaks: "None",
    drift: "−12 ppm",
    profile: "Live, by itself",
    transport: "WebSocket",
    path: "Audio worklet",
    bitrate: "128 kb/s",
    hint: "The smallest delay that stays clean.",
  });
});

test("what the browser doesn't tell is not made up", () => {
  assert.equal(details({ ...facts, report: { ...report, exact: false } }).latency, "at least 74 ms");
  assert.equal(details({ ...facts, report: { ...report, latency: null } }).latency, "–");
});

test("interruptions are told apart", () => {
  const shown = details({ ...facts, report: { ...report, underruns: 1, skips: 2, pauses: 1, glitches: 3 } });
  assert.equal(shown.breaks, "1 gap, 2 skips, 1 pause, 3 by the device");
});

test("before there is sound there are no figures", () => {
  const shown = details({ ...facts, choice: "radio", report: null, losses: null, bitrate: 0, secure: true });
  for (const name of ["latency", "buffer", "jitter", "lost", "breaks", "drift", "path", "bitrate"] as const) assert.equal(shown[name], "–", name);
  assert.equal(shown.profile, "Radio");
  assert.equal(shown.transport, "WebSocket, encrypted");
});

test("the meter shows decibels", () => {
  assert.equal(meter(0), 0);
  assert.equal(meter(1), 1);
  assert(Math.abs(meter(0.001)) < 1e-9);
  assert(Math.abs(meter(10 ** -1.5) - 0.5) < 1e-9);
});
