// dist/: index.js and index.cjs for pages, node.js and node.cjs for Node, eye.min.js for a script tag.
import { build } from "esbuild";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const common = { bundle: true, target: "es2021", logLevel: "warning" };
const library = (name, format, platform) =>
  build({
    ...common,
    ...{ entryPoints: [`src/${name}.ts`], outfile: `dist/${name}.${format === "esm" ? "js" : "cjs"}` },
    ...{ format, platform },
  });
await Promise.all([
  library("index", "esm", "browser"),
  library("index", "cjs", "browser"),
  library("node", "esm", "node"),
  library("node", "cjs", "node"),
  build({
    ...common,
    ...{ entryPoints: ["src/script.ts"], outfile: "dist/eye.min.js", format: "iife", minify: true },
  }),
]);

// TypeScript takes a `.d.ts` for the types of an ES module, and a `.d.cts` for those of CommonJS.
for (const name of readdirSync("dist").filter((name) => name.endsWith(".d.ts"))) {
  const types = readFileSync(`dist/${name}`, "utf8").replaceAll(/(from "\.\/\w+)\.js"/g, '$1.cjs"');
  writeFileSync(`dist/${name.replace(".d.ts", ".d.cts")}`, types);
}
