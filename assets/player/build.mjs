// Builds the player into dist: index.html and, under static/, what it loads,
// each file named by its content.

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL(".", import.meta.url));
const dist = join(root, "dist");

await rm(join(dist, "static"), { recursive: true, force: true });
await rm(join(dist, "index.html"), { force: true });
await mkdir(dist, { recursive: true });

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
    legalComments: "linked",
    loader: { ".svg": "copy" },
    define,
  });
  const file = Object.keys(metafile.outputs).find((name) => !name.endsWith(".LEGAL.txt"));
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
const page = await readFile(join(root, "src/index.html"), "utf8");
const filled = page.replace(/\{\{(\w+)\}\}/g, (_, name) => {
  if (!paths[name]) throw new Error(`src/index.html: nothing is called ${name}`);
  return paths[name];
});
// Last: its being there says that the player is built.
await writeFile(join(dist, "index.html"), filled);
