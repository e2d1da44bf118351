import assert from "node:assert/strict";
import { test } from "node:test";
import { concealment, frames } from "../src/opus";

/** A TOC byte: RFC 6716 section 3.1. */
const toc = (config: number, code: number) => (config << 3) | 4 | code;

test("frames by the TOC byte", () => {
  const cases: [number[], [number, number] | null][] = [
    [[toc(0, 0), 1], [1, 480]], // SILK 10 ms
    [[toc(3, 0), 1], [1, 2880]], // SILK 60 ms
    [[toc(13, 0), 1], [1, 960]], // hybrid 20 ms
    [[toc(28, 0), 1], [1, 120]], // CELT 2.5 ms
    [[toc(31, 0), 1], [1, 960]], // CELT 20 ms
    [[toc(31, 1), 1, 1], [2, 960]],
    [[toc(31, 2), 1, 1, 1], [2, 960]],
    [[toc(31, 3), 3, 1, 1, 1], [3, 960]],
    [[toc(31, 3), 0x80 | 2, 1, 1], [2, 960]], // VBR flag
    [[], null],
    [[toc(31, 3)], null],
    [[toc(31, 3), 0], null],
    [[toc(31, 3), 7], null], // 140 ms
  ];
  for (const [bytes, want] of cases) {
    const got = frames(Uint8Array.from(bytes));
    assert.deepEqual(got && [got.count, got.samples], want, bytes.join(" "));
  }
});

test("concealment asks for one frame of the same kind", () => {
  const stand = concealment(Uint8Array.of(toc(30, 1), 9, 9));
  assert.deepEqual([...stand], [toc(30, 0)]);
  assert.deepEqual(frames(stand), { count: 1, samples: 480 });
});
