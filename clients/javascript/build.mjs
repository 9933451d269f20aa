// dist/: index.js for bundlers, node.js and node.cjs for Node, eye.min.js for a script tag.
import { build } from "esbuild";

const common = { bundle: true, target: "es2021", logLevel: "warning" };
await Promise.all([
  build({ ...common, entryPoints: ["src/index.ts"], outfile: "dist/index.js", format: "esm" }),
  build({
    ...common,
    entryPoints: ["src/node.ts"],
    outfile: "dist/node.js",
    format: "esm",
    platform: "node",
  }),
  build({
    ...common,
    entryPoints: ["src/node.ts"],
    outfile: "dist/node.cjs",
    format: "cjs",
    platform: "node",
  }),
  build({
    ...common,
    entryPoints: ["src/script.ts"],
    outfile: "dist/eye.min.js",
    format: "iife",
    minify: true,
  }),
]);
