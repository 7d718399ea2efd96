// Copies the chart library from its package into the page's source; with `--check`, only compares. The package is
// pinned by the lock file.
import { copyFileSync, readFileSync } from "node:fs";

const from = new URL("node_modules/uplot/", import.meta.url);
const to = new URL("../../src/http/page/vendor/", import.meta.url);
const files = { "dist/uPlot.iife.min.js": "uPlot.iife.min.js", "dist/uPlot.min.css": "uPlot.min.css", LICENSE: "uPlot.LICENSE" };

for (const [source, target] of Object.entries(files)) {
  const [packaged, vendored] = [new URL(source, from), new URL(target, to)];
  if (!process.argv.includes("--check")) copyFileSync(packaged, vendored);
  else if (!readFileSync(packaged).equals(readFileSync(vendored))) throw new Error(`${target} is not what the package has: npm run vendor`);
}
