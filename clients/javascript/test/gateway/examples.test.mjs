// The shared examples, sent by this client, meet the fate they promise.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { after, test } from "node:test";

import { Eye } from "../../dist/node.js";
import { fate, pipeline, timeline } from "../pipeline.mjs";

const EVENT_TYPES = new URL("../../../../schemas/event-types/", import.meta.url);
const { url, key } = pipeline();
const eye = new Eye({ url, key, flushInterval: 5 });

after(async () => {
  await eye.close();
  const { accepted, delivered } = eye.stats();
  assert.ok(accepted > 0 && delivered === accepted);
});

function examples(kind) {
  const paths = readdirSync(EVENT_TYPES, { recursive: true }).filter((path) =>
    path.match(`/examples/${kind}/[^/]+\\.json$`),
  );
  assert.ok(paths.length, `no examples in ${EVENT_TYPES}`);
  return paths.map((path) => [path, JSON.parse(readFileSync(new URL(encodeURI(path), EVENT_TYPES)))]);
}

// All are sent at once, so that each need not wait for its verdict in turn.
const track = ({ category, name, data }) => eye.track(randomUUID(), category, name, data);
const sorted = (reasons) =>
  reasons.map(({ code, pointer = "", keyword = "" }) => `${code} ${pointer} ${keyword}`).sort();

for (const [path, event] of examples("valid")) {
  const id = track(event);
  test(`${path} is accepted`, async () => {
    assert.equal((await fate(id)).verdict, "accepted");
  });
}

for (const [path, { event, reasons }] of examples("invalid")) {
  // What is wrong with an envelope can't be sent through a client that writes the envelope itself.
  if (!event || reasons.some(({ code }) => code !== "data_invalid")) continue;
  const id = track(event);
  test(`${path} is rejected`, async () => {
    const found = await fate(id);
    assert.equal(found.verdict, "rejected");
    assert.deepEqual(sorted(found.reasons), sorted(reasons));
  });
}

test("a compressed batch arrives whole and in order", async () => {
  const session = randomUUID();
  const data = { host: "www.example.com", path: "/" };
  const ids = Array.from({ length: 1200 }, () => eye.track(session, "page interaction", "pageview", data));
  assert.equal(await eye.flush(), true);
  const events = await timeline(session, ids.length);
  // Those of one millisecond are ordered by their arrival, which is that of the calls.
  assert.deepEqual(
    events.map((event) => event.event_id),
    ids,
  );
});

test("the example of the README is accepted", async () => {
  const example = readFileSync(new URL("../../README.md", import.meta.url), "utf8")
    .split("```js\n")[1]
    .split("```")[0];
  const session = randomUUID();
  assert.ok(example.includes('"https://eye.example.com"') && example.includes('key: "..."'));
  const program = example
    .replace("https://eye.example.com", url)
    .replace('"..."', JSON.stringify(key))
    .replace("sessionId", JSON.stringify(session));
  execFileSync("node", ["--input-type=module", "-e", program], { cwd: new URL("../..", import.meta.url) });
  assert.equal((await timeline(session, 1)).length, 1);
});
