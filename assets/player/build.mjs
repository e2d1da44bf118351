// Builds the player into dist: index.html and, under static/, what it loads,
// each file named by its content, and beside each its compressed forms.

import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "esbuild";
import { licenses } from "./licenses.mjs";

/** The most that the page may weigh over the wire, decoder and all. */
const LIMIT = 110_000;

const root = fileURLToPath(new URL(".", import.meta.url));
const dist = join(root, "dist");

await rm(join(dist, "static"), { recursive: true, force: true });
for (const ending of ["", ".br", ".gz"]) await rm(join(dist, `index.html${ending}`), { force: true });
await mkdir(join(dist, "static"), { recursive: true });

const inputs = new Set();

/** Bundles one source file and returns its path on the server. */
async function bundle(source, define = {}) {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [`src/${source}`],
    outdir: "dist/static",
    entryNames: "[name]-[hash]",
    bundle: true,
    minify: true,
    metafile: true,
    format: "iife",
    // The oldest that take WASM under the server's policy (wasm-unsafe-eval).
    target: ["chrome97", "firefox102", "safari16"],
    charset: "utf8", // The decoder's WASM is text of two-byte characters.
    legalComments: "none", // licenses.txt has them.
    loader: { ".svg": "copy" },
    define,
  });
  const [[file, output]] = Object.entries(metafile.outputs);
  for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) if (bytesInOutput > 0) inputs.add(input);
  return `/static/${basename(file)}`;
}

const quoted = async (source) => JSON.stringify(await bundle(source));

const paths = {
  player: await bundle("main.ts", {
    WORKER: await quoted("worker.ts"),
    WORKLET_MODULE: await quoted("worklet.ts"),
  }),
  style: await bundle("style.css"),
  icon: await bundle("icon.svg"),
};
const notices = await licenses(root, [...inputs]);
paths.licenses = `/static/licenses-${createHash("sha256").update(notices).digest("hex").slice(0, 8)}.txt`;
await writeFile(join(dist, paths.licenses), notices);

const page = await readFile(join(root, "src/index.html"), "utf8");
const filled = page.replace(/\{\{(\w+)\}\}/g, (_, name) => {
  if (!paths[name]) throw new Error(`src/index.html: nothing is called ${name}`);
  return paths[name];
});

/** Writes a text's compressed forms beside it and returns the sizes of them. */
async function compress(file, text) {
  const br = brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: text.length } });
  const gz = gzipSync(text, { level: 9 });
  await writeFile(`${file}.br`, br);
  await writeFile(`${file}.gz`, gz);
  return { br: br.length, gz: gz.length };
}

// For pages of other sites: at an address that stays, so small and never cached for long.
await build({
  absWorkingDir: root,
  entryPoints: ["src/embed.ts"],
  outfile: "dist/embed.js",
  minify: true,
  format: "iife",
  target: ["chrome97", "firefox102", "safari16"],
});
const { br: embedSize } = await compress(join(dist, "embed.js"), await readFile(join(dist, "embed.js")));
console.log(`embed.js: ${embedSize} bytes as Brotli.`);

const sum = await compress(join(dist, "index.html"), Buffer.from(filled));
for (const name of await readdir(join(dist, "static"))) {
  const file = join(dist, "static", name);
  const { br, gz } = await compress(file, await readFile(file));
  if (name.startsWith("licenses-")) continue; // Not loaded with the page.
  sum.br += br;
  sum.gz += gz;
}
console.log(`The page and all that it loads: ${sum.br} bytes as Brotli, ${sum.gz} as gzip.`);
if (sum.gz > LIMIT) throw new Error(`more than ${LIMIT} bytes`);

// Last: its being there says that the player is built.
await writeFile(join(dist, "index.html"), filled);
