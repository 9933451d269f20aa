// The package as others install it: what it exports under each condition, and the types that it has there.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { build } from "esbuild";

const HERE = new URL("../..", import.meta.url).pathname;
const run = promisify(execFile);

let dir;
before(async () => {
  dir = mkdtempSync(join(tmpdir(), "the-eye-client-"));
  const installed = join(dir, "node_modules/the-eye-client");
  mkdirSync(installed, { recursive: true });
  const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", dir], { cwd: HERE });
  await run("tar", ["xzf", join(dir, stdout.trim()), "-C", installed, "--strip-components=1"]);
});
after(() => rmSync(dir, { recursive: true }));

/** A page's code that is rendered on a server: nothing of it fails there, and nothing is sent. */
const RENDERED = `
  const page = new EyePage({ url: "http://127.0.0.1:9", key: "k", spool: true });
  console.log(typeof Eye, [page.track("c", "n", {}), page.pageview(), page.click("x"), page.submit({})]);
  console.log(page.eye.stats().waiting, typeof page.session);
  page.close();`;
const RENDERS = "function [ undefined, undefined, undefined, undefined ]\n0 string\n";

for (const [kind, file, program] of [
  ["import", "a.mjs", `import { Eye, EyePage } from "the-eye-client"; ${RENDERED}`],
  ["require", "a.cjs", `const { Eye, EyePage } = require("the-eye-client"); ${RENDERED}`],
]) {
  test(`EyePage does nothing in Node, by ${kind}`, async () => {
    writeFileSync(join(dir, file), program);
    assert.equal((await run(process.execPath, [file], { cwd: dir })).stdout, RENDERS);
  });

  for (const platform of ["node", "browser", "neutral"]) {
    test(`EyePage is there for a bundler, by ${kind}, for the platform ${platform}`, async () => {
      const entry = join(dir, file);
      writeFileSync(entry, program);
      const outfile = join(dir, `${platform}.bundle.cjs`);
      // None of these platforms has conditions of its own for `import` and `require`, of which it takes the fitting one.
      await build({
        entryPoints: [entry],
        outfile,
        bundle: true,
        format: "cjs",
        platform,
        logLevel: "silent",
      });
      assert.equal((await run(process.execPath, [outfile], { cwd: dir })).stdout, RENDERS);
    });
  }
}

const readme = readFileSync(join(HERE, "README.md"), "utf8");
const inNode = readme
  .split("```js\n")[1]
  .split("```")[0]
  .replace(/^await /m, "void ");
const inPage = readme.match(/`(import \{ EyePage \}[^`]*)`/)[1];
const TYPED = `
  ${inNode}
  ${inPage}
  declare const sessionId: string, url: string, key: string;
  new Eye();
  // @ts-expect-error: the types are no \`any\`
  const none: number = new EyePage({ url, key }).no.such;
  // @ts-expect-error
  new EyePage("nonsense", 1, 2);`;

for (const [name, type, options] of [
  ["a CommonJS program", "commonjs", { module: "node16" }],
  ["an ES module", "module", { module: "nodenext" }],
  ["a bundler's program", "module", { module: "esnext", moduleResolution: "bundler" }],
  // Which has none of the DOM's types.
  ["a server's program", "module", { module: "node16", lib: ["es2022"], types: ["node"] }],
]) {
  test(`the types fit ${name}`, async () => {
    const project = mkdtempSync(join(dir, "typed-"));
    writeFileSync(join(project, "package.json"), JSON.stringify({ type }));
    writeFileSync(join(project, "index.ts"), TYPED);
    const compilerOptions = {
      ...{ strict: true, noEmit: true, target: "es2022", lib: ["es2022", "dom"], types: [] },
      ...{ typeRoots: [join(HERE, "node_modules/@types")], ...options },
    };
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["index.ts"] }));
    const tsc = join(HERE, "node_modules/typescript/bin/tsc");
    const { stdout } = await run(process.execPath, [tsc, "-p", project]).catch((error) => error);
    assert.equal(stdout, "");
  });
}
