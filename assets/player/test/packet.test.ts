import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { MessageError, parseMessage } from "../src/packet";

interface Vector {
  name: string;
  hex: string;
  error?: boolean;
  packets?: { seq: number; at: number; data: string }[];
}

/** The vectors that the Go tests read too; tests run in the player's folder. */
const { messages } = JSON.parse(readFileSync("../../audio/testdata/packets.json", "utf8")) as { messages: Vector[] };

function buffer(hex: string): ArrayBuffer {
  return Uint8Array.from(Buffer.from(hex, "hex")).buffer;
}

assert(messages.length > 0);
for (const vector of messages) {
  test(`message: ${vector.name}`, () => {
    if (vector.error) {
      assert.throws(() => parseMessage(buffer(vector.hex)), MessageError);
      return;
    }
    const packets = parseMessage(buffer(vector.hex));
    assert.deepEqual(
      packets.map(({ seq, at, data }) => ({ seq, at, data: Buffer.from(data).toString("hex") })),
      vector.packets,
    );
  });
}
