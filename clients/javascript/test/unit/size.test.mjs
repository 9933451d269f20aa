import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

test("the browser's script is under 5 kB, compressed", () => {
  const bytes = gzipSync(readFileSync(new URL("../../dist/eye.min.js", import.meta.url)), {
    level: 9,
  }).length;
  console.log(`eye.min.js: ${bytes} bytes compressed`);
  assert.ok(bytes < 5000);
});
