// The notices of what others wrote and the player carries.

import { readFile } from "node:fs/promises";
import { join } from "node:path";

// For packages that carry no licence file, and for what is compiled into them.
// In notices/, a name for a file; "LICENSE" is the package's own.
const NOTICES = {
  "opus-decoder": [
    ["opus-decoder, MIT", "wasm-audio-decoders.txt"],
    ["libopus, which opus-decoder holds compiled to WebAssembly, BSD", "libopus.txt"],
  ],
  "@wasm-audio-decoders/common": [
    ["@wasm-audio-decoders/common, MIT", "wasm-audio-decoders.txt"],
    ["puff, which it holds altered and compiled to WebAssembly, zlib", "puff.txt"],
  ],
  "simple-yenc": [["simple-yenc, MIT", "LICENSE"]],
  "@eshaz/web-worker": [["@eshaz/web-worker, Apache 2.0", "LICENSE"]],
};

/** Returns the text for what was bundled; inputs: the bundles' source files. Throws where a package's notice is missing. */
export async function licenses(root, inputs) {
  const packages = new Set(inputs.map((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]).filter(Boolean));
  const parts = ["This page carries work of others, under these licences.\n"];
  for (const name of [...packages].sort()) {
    if (!NOTICES[name]) throw new Error(`licenses.mjs: no notice for ${name}, which is bundled`);
    for (const [title, file] of NOTICES[name]) {
      const path = file === "LICENSE" ? join("node_modules", name, file) : join("notices", file);
      const text = await readFile(join(root, path), "utf8");
      parts.push(`${title}\n${"-".repeat(title.length)}\n\n${text.replace(/^\n+|\s+$/g, "")}\n`);
    }
  }
  return parts.join("\n\n");
}
