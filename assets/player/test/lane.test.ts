import assert from "node:assert/strict";
import { test } from "node:test";
import { Lanes } from "../src/lane";
import type { Profile } from "../src/profile";
import { Ear, random, simulate } from "./simulate";

function rig(profile: Profile = "live") {
  const said: (string | number)[] = [];
  const lanes = new Lanes({ ask: (lane) => said.push(lane), expect: (length) => said.push(length) }, profile);
  said.push(lanes.connect());
  lanes.setOpen(true);
  return { lanes, said };
}

test("a listener agrees to longer messages once it holds enough, and goes back at once", () => {
  const { lanes, said } = rig();
  lanes.move("balanced", 100, 20);
  lanes.held("live", 20);
  assert.deepEqual(said, ["live", 100]);
  lanes.held("live", 100);
  lanes.held("live", 100);
  assert.deepEqual(said, ["live", 100, "balanced"]);
  lanes.move("live", 20, 100);
  assert.deepEqual(said, ["live", 100, "balanced", "live"]);
});

test("a listener of radio is moved by nobody, and is its own when it chooses", () => {
  const { lanes, said } = rig("radio");
  lanes.move("balanced", 100, 1000);
  lanes.move("live", 20, 1000);
  lanes.held("radio", 1000);
  assert.deepEqual(said, ["radio"]);
  lanes.held("live", 1000);
  lanes.move("balanced", 100, 20);
  lanes.held("balanced", 100);
  lanes.held("radio", 100);
  lanes.held("live", 1000);
  assert.deepEqual(said, ["radio", "live", 100, "balanced", "radio", "live"]);
});

test("another connection begins where the listener wants to be", () => {
  const { lanes, said } = rig();
  lanes.move("balanced", 100, 20);
  lanes.held("live", 100);
  assert.equal(lanes.connect(), "live");
  lanes.setOpen(false);
  lanes.held("radio", 100); // is asked for when it is open
  lanes.setOpen(true);
  assert.deepEqual(said, ["live", 100, "balanced", "radio"]);
});

test("when the server moves it, the buffer grows first, and nothing runs dry", () => {
  const next = random(5);
  const ear = new Ear();
  let moved = Infinity;
  let room = 20;
  const figures = simulate({
    seconds: 90,
    delay: () => 5 * next(),
    // As soon as the sink says that it holds enough, and back at 40 s.
    lane: (i) => (i > moved && i < 2000 ? 5 : 1),
    before(i, playout) {
      if (i === 500) playout.expect(100);
      room = playout.covers;
      if (i > 500 && room === 100) moved = Math.min(moved, i);
    },
    heard: ear.heard,
  });
  assert(moved > 500 && moved < 550, `enough at ${moved}`);
  assert.equal(figures.underruns, 0);
  assert.equal(figures.pauses, 1);
  assert.equal(ear.silences.length, 1);
  assert(ear.silences[0]!.ms < 140, `a pause of ${ear.silences[0]!.ms} ms`);
  assert(Math.abs(figures.fill - 60) < 30, `back at ${figures.fill} ms`);
});
