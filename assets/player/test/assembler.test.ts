import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Assembler } from "../src/assembler";
import { openDecoder } from "../src/decoder";
import type { Packet } from "../src/packet";

const tone = JSON.parse(readFileSync("test/data/tone.json", "utf8")) as { packets: string[] };

/** Packet i of the tone, as packet seq of the stream. */
function packet(i: number, seq = i): Packet {
  return { seq: seq >>> 0, at: i * 20_000, data: Uint8Array.from(Buffer.from(tone.packets[i]!, "hex")) };
}

const packets = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => packet(from + i));

async function open(): Promise<Assembler> {
  return new Assembler(await openDecoder());
}

function rms(samples: Float32Array): number {
  return Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
}

test("a message's packets become one chunk", async () => {
  const assembler = await open();
  const [chunk, ...more] = assembler.push(packets(0, 5), 123);
  assert(chunk);
  assert.equal(more.length, 0);
  assert.equal(chunk.left.length, 5 * 960);
  assert.equal(chunk.right.length, 5 * 960);
  assert.equal(chunk.at, 0);
  assert.equal(chunk.arrived, 123);
  assert.equal(chunk.gap, true, "the first continues nothing");
  assert.equal(assembler.push([packet(5)], 124)[0]!.gap, false);
});

test("the tone comes out as it went in", async () => {
  const assembler = await open();
  const [chunk] = assembler.push(packets(0, 30), 0);
  const sound = chunk!.left.subarray(4800, 4800 + 19200);
  assert(Math.abs(rms(sound) - 0.5 / Math.SQRT2) < 0.01);
  let crossings = 0;
  for (let i = 1; i < sound.length; i++) if (sound[i - 1]! < 0 && sound[i]! >= 0) crossings++;
  assert(Math.abs(crossings - 997 * 0.4) <= 1, `${crossings} periods in 0.4 s`);
});

test("a lost packet is concealed by the decoder", async () => {
  const assembler = await open();
  assembler.push(packets(0, 10), 0);
  const [chunk, ...more] = assembler.push([packet(12)], 0);
  assert.equal(more.length, 0);
  assert.equal(chunk!.left.length, 3 * 960);
  assert.equal(chunk!.at, 10 * 20_000);
  assert.equal(chunk!.gap, false);
  assert(rms(chunk!.left.subarray(0, 960)) > 0.2, "the concealed frame goes on with the tone");
  assert.deepEqual(assembler.losses, { packets: 11, lost: 2, concealed: 2, late: 0, broken: 0 });
});

test("a long loss is a gap", async () => {
  const assembler = await open();
  assembler.push(packets(0, 2), 0);
  const [chunk] = assembler.push([packet(20)], 0);
  assert.equal(chunk!.left.length, 960);
  assert.equal(chunk!.gap, true);
  assert.equal(assembler.losses.lost, 18);
  assert.equal(assembler.losses.concealed, 0);
});

test("a jump of the stamps alone is a gap, in the middle of a message too", async () => {
  const assembler = await open();
  const later = { ...packet(2), at: 5_000_000 };
  const chunks = assembler.push([packet(0), packet(1), later], 0);
  assert.deepEqual(
    chunks.map(({ left, at, gap }) => [left.length, at, gap]),
    [[1920, 0, true], [960, 5_000_000, true]],
  );
});

test("what comes twice is dropped", async () => {
  const assembler = await open();
  assembler.push(packets(0, 3), 0);
  assert.deepEqual(assembler.push([packet(1), packet(2)], 0), []);
  assert.equal(assembler.losses.late, 2);
});

test("the numbers wrap", async () => {
  const assembler = await open();
  assembler.push([packet(0, 0xffffffff)], 0);
  const [chunk] = assembler.push([packet(1, 0)], 0);
  assert.equal(chunk!.gap, false);
  assert.equal(assembler.losses.lost, 0);
});

test("another publisher's numbers are no loss", async () => {
  const assembler = await open();
  assembler.push([packet(0, 5_000_000)], 0);
  const [chunk] = assembler.push([packet(1, 7)], 0);
  assert.equal(chunk!.gap, true);
  assert.equal(assembler.losses.lost, 0);
  assert.equal(assembler.losses.late, 0);
});

test("rubbish is left out and concealed", async () => {
  const assembler = await open();
  assembler.push(packets(0, 5), 0);
  assert.deepEqual(assembler.push([{ ...packet(5), data: Uint8Array.of(255) }], 0), []);
  const [chunk] = assembler.push([packet(6)], 0);
  assert.equal(chunk!.left.length, 2 * 960);
  assert.equal(assembler.losses.broken, 1);
});
