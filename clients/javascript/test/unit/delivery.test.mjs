// Each accepted event arrives exactly once by its id, or is counted, whatever the gateway does.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";

import { Eye as BrowserEye } from "../../dist/index.js";
import { Eye as NodeEye } from "../../dist/node.js";
import { Gateway, cutShort, hang, receiptErrors, reset, status, tooLargeOver } from "./faulty.mjs";

const UNREACHABLE = "http://127.0.0.1:9";

/** A `Storage` as browsers have it. */
class MemoryStorage {
  #items = new Map();
  get length() {
    return this.#items.size;
  }
  key = (place) => [...this.#items.keys()][place] ?? null;
  getItem = (key) => this.#items.get(key) ?? null;
  setItem = (key, value) => void this.#items.set(key, value);
  removeItem = (key) => void this.#items.delete(key);
}

function balance({ accepted, recovered, delivered, beaconed, rejected, lost, waiting }) {
  const refused = Object.values(rejected).reduce((sum, n) => sum + n, 0);
  assert.equal(accepted + recovered, delivered + beaconed + refused + lost + waiting);
}

for (const [kind, Eye] of [
  ["browser", BrowserEye],
  ["node", NodeEye],
]) {
  describe(kind, () => {
    let gateway;
    beforeEach(async () => (gateway = await Gateway.start()));
    afterEach(() => gateway.close());

    const client = (options = {}) => new Eye({ url: gateway.url, key: "k", flushInterval: 5, ...options });
    const track = (eye, count) =>
      Array.from({ length: count }, (_, n) => eye.track(randomUUID(), "test", "event", { n }));

    test("an event is sent as the contract says", async () => {
      const eye = client();
      const session = randomUUID();
      const before = new Date().toISOString();
      const id = eye.track(session, "page interaction", "pageview", { host: "h", path: "/é" });
      const after = new Date().toISOString();
      await eye.close();
      const [{ timestamp, sent_at, ...event }] = gateway.log;
      assert.deepEqual(event, {
        event_id: id,
        session_id: session,
        category: "page interaction",
        name: "pageview",
        data: { host: "h", path: "/é" },
      });
      assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      assert.ok(before <= timestamp && timestamp <= after && after <= sent_at);
      assert.equal(gateway.requests[0].headers.authorization, "Bearer k");
      assert.equal(gateway.requests[0].headers["content-type"], "application/json");
    });

    test("white space around url and key is none of theirs", async () => {
      const eye = client({ url: ` ${gateway.url}/ \n`, key: " k\n" });
      track(eye, 1);
      await eye.close();
      assert.equal(gateway.requests[0].headers.authorization, "Bearer k");
    });

    test("a key that no header carries, or that is given for the url, is refused at the start, and not told", () => {
      for (const wrong of [
        ...["secret\u2013key", "secret\nkey", "\n"].map((key) => ({ key })),
        { url: "secret-key" },
      ])
        assert.throws(
          () => client(wrong),
          (error) => error instanceof TypeError && !inspect(error).includes("secret"),
        );
    });

    test("events travel in batches and in order", async () => {
      const eye = client({ batchEvents: 10, flushInterval: 60_000 });
      const ids = track(eye, 105);
      await eye.close();
      assert.deepEqual(
        gateway.log.map((event) => event.event_id),
        ids,
      );
      assert.deepEqual(
        gateway.requests.map(({ events }) => events.length),
        [...Array(10).fill(10), 5],
      );
    });

    test("a full batch does not wait", async () => {
      const eye = client({ batchEvents: 10, flushInterval: 60_000 });
      const began = performance.now();
      track(eye, 10);
      while (gateway.log.length < 10) await sleep(5);
      assert.ok(performance.now() - began < 30_000, "it waited for the flush interval");
      await eye.close();
    });

    test("a request is bounded in bytes, whatever the script", async () => {
      const eye = client({ batchBytes: 20_000 });
      for (let n = 0; n < 20; n++) eye.track(randomUUID(), "test", "event", { text: "漢".repeat(1500) });
      await eye.close();
      assert.equal(gateway.log.length, 20);
      assert.ok(Math.max(...gateway.requests.map(({ bytes }) => bytes)) <= 20_000);
    });

    for (const [name, fault] of Object.entries({
      "503": status(503),
      "500 with a page": status(500, {}, "<html>"),
      "429": status(429, { "Retry-After": "0" }),
      "401": status(401),
      "a page of another server's": status(405, {}, "<html>"),
      "JSON of another server's": status(400, {}, { error: "blocked" }),
      "no JSON": status(202, {}, "thanks"),
      "no receipts": status(202, {}, { receipts: [] }),
      "a reset before": reset({ afterAppend: false }),
      "a reset after": reset({ afterAppend: true }),
      "half an answer": cutShort,
      "no answer": hang,
    })) {
      test(`${name} is retried under the same ids`, async () => {
        gateway.faults = [fault, fault];
        // Short only where waiting for it is the point: a busy machine may take long for an answer, too.
        const eye = client({ timeout: fault === hang ? 200 : 30_000 });
        const ids = track(eye, 20);
        assert.equal(await eye.flush(60_000), true);
        const stats = eye.stats();
        await eye.close();
        assert.deepEqual(gateway.ids, ids);
        assert.equal(stats.delivered, 20);
        assert.equal(stats.waiting, 0);
        assert.ok(stats.retries >= 2);
        balance(stats);
      });
    }

    for (const code of [429, 503]) {
      test(`the Retry-After of a ${code} is honoured, also by close`, async () => {
        gateway.faults = [status(code, { "Retry-After": "1" })];
        const eye = client();
        track(eye, 1);
        await eye.close();
        const [first, second] = gateway.requests;
        assert.ok(second.at - first.at >= 1000);
      });
    }

    test("a Retry-After may be a date", async () => {
      gateway.faults = [status(503, { "Retry-After": new Date(Date.now() + 2500).toUTCString() })];
      const eye = client();
      track(eye, 1);
      assert.equal(await eye.flush(), true);
      const [first, second] = gateway.requests;
      assert.ok(second.at - first.at >= 1000);
    });

    test("one refused event harms no neighbour", async () => {
      gateway.faults = [receiptErrors({ 1: "invalid_field", 3: "too_large" })];
      const eye = client();
      const ids = track(eye, 5);
      await eye.close();
      assert.deepEqual(gateway.ids, [ids[0], ids[2], ids[4]]);
      assert.deepEqual(eye.stats().rejected, { invalid_field: 1, too_large: 1 });
      assert.equal(eye.stats().retries, 0);
      balance(eye.stats());
    });

    test("a batch of refused events is counted", async () => {
      gateway.faults = [receiptErrors({ 0: "missing_field" })];
      const eye = client();
      track(eye, 1);
      await eye.close();
      assert.deepEqual(eye.stats().rejected, { missing_field: 1 });
    });

    test("an event the brokers did not take is sent again alone", async () => {
      gateway.faults = [receiptErrors({ 1: "brokers_slow" })];
      const eye = client();
      const ids = track(eye, 3);
      assert.equal(await eye.flush(), true);
      assert.deepEqual(gateway.ids.toSorted(), ids.toSorted());
      assert.deepEqual(
        gateway.requests.map(({ events }) => events.length),
        [3, 1],
      );
    });

    test("a body that is too large is halved", async () => {
      gateway.faults = Array(100).fill(tooLargeOver(3));
      const eye = client();
      const ids = track(eye, 16);
      assert.equal(await eye.flush(), true);
      assert.deepEqual(
        gateway.log.map((event) => event.event_id),
        ids,
      );
    });

    test("an event that is too large even alone is counted", async () => {
      gateway.faults = Array(3).fill(tooLargeOver(0));
      const eye = client();
      track(eye, 2);
      assert.equal(await eye.flush(), true);
      assert.deepEqual(eye.stats().rejected, { too_large: 2 });
    });

    test("a request the gateway cannot read is not repeated for ever", async () => {
      gateway.faults = [status(415, {}, { code: "unsupported_media_type" })];
      const eye = client();
      track(eye, 3);
      assert.equal(await eye.flush(), true);
      assert.deepEqual(eye.stats().rejected, { unsupported_media_type: 3 });
    });

    test("the queue is bounded and counts what it drops", async () => {
      const eye = client({ url: UNREACHABLE, bufferEvents: 10 });
      assert.equal(track(eye, 25).filter(Boolean).length, 10);
      await eye.close(50);
      const stats = eye.stats();
      assert.deepEqual(stats.dropped, { buffer_full: 15 });
      assert.equal(stats.lost, 10);
      assert.equal(eye.track(randomUUID(), "test", "event", {}), undefined);
      assert.deepEqual(eye.stats().dropped, { buffer_full: 15, closed: 1 });
      balance(stats);
    });

    test("nothing throws, whatever is handed over", async () => {
      const circle = {};
      circle.self = circle;
      const throws = {
        toJSON() {
          throw new Error("no");
        },
      };
      const eye = client({ maxEventBytes: 1000 });
      for (const data of [circle, throws, { n: 1n }, undefined, null, "text"])
        assert.equal(eye.track(randomUUID(), "test", "event", data), undefined);
      eye.track(randomUUID(), "test", "event", { text: "x".repeat(1000) });
      eye.track(randomUUID(), "test", "event", { good: true });
      await eye.close();
      assert.deepEqual(
        gateway.log.map((event) => event.data),
        [{ good: true }],
      );
      assert.deepEqual(eye.stats().dropped, { invalid: 6, too_large: 1 });
    });

    test("half a character is replaced, wherever it stands", async () => {
      const eye = client();
      const halves = { "key \udc00": ["\ud83d", { deep: "a\ud83db" }, "\ud83d\ude00", "\\ud83d"] };
      eye.track(randomUUID(), "category \ud83d", "\ude00 name", halves);
      await eye.close();
      assert.deepEqual(
        gateway.log.map(({ category, name, data }) => [category, name, data]),
        [
          [
            "category \ufffd",
            "\ufffd name",
            { "key \ufffd": ["\ufffd", { deep: "a\ufffdb" }, "\u{1f600}", "\\ud83d"] },
          ],
        ],
      );
    });

    test("an event during the last answer is not forgotten", async () => {
      const eye = client();
      // Every microtask after an answer is a place where the loop could just have ended.
      for (let round = 0; round < 30; round++) {
        track(eye, 1);
        const flushed = eye.flush();
        for (let ticks = 0; ticks < round; ticks++) await null;
        track(eye, 1);
        await flushed;
        for (let ticks = 0; ticks < round; ticks++) await null;
        track(eye, 1);
        assert.equal(await eye.flush(), true);
      }
      assert.equal(gateway.log.length, 90);
    });

    test("a spool outlives the client, and is empty when all is delivered", async () => {
      const spool = new MemoryStorage();
      spool.setItem("other", "untouched");
      spool.setItem("eye:torn", '{"event_id":');
      spool.setItem("eye:volume", "5");
      spool.setItem("eye:settings", '{"event_id":"theirs"}');
      const first = client({ url: UNREACHABLE, spool });
      const ids = track(first, 5);
      await first.close(20);
      assert.equal(first.stats().lost, 0);
      // The first copy of two of them had arrived, but not its receipts.
      gateway.faults = [reset({ afterAppend: true })];
      const second = client({ spool });
      assert.equal(await second.flush(), true);
      assert.deepEqual(gateway.ids.toSorted(), ids.toSorted());
      assert.equal(second.stats().recovered, 5);
      assert.equal(second.stats().delivered, 5);
      assert.equal(spool.length, 4);
    });

    test("what a closed client leaves in its spool waits there, and what the spool had no room for is lost", async () => {
      const spool = new MemoryStorage();
      const eye = client({ url: UNREACHABLE, spool });
      track(eye, 2);
      spool.setItem = () => {
        throw new DOMException("full", "QuotaExceededError");
      };
      track(eye, 1);
      await eye.close(20);
      const stats = eye.stats();
      assert.equal(spool.length, 2);
      assert.deepEqual([stats.accepted, stats.waiting, stats.lost], [3, 2, 1]);
      balance(stats);
    });

    test("a storage that is full or forbidden loses nothing", async () => {
      const no = () => {
        throw new DOMException("no", "QuotaExceededError");
      };
      const spool = { length: 0, key: no, getItem: no, setItem: no, removeItem: no };
      const eye = client({ spool });
      track(eye, 3);
      assert.equal(await eye.flush(), true);
      assert.equal(eye.stats().delivered, 3);
    });
  });
}

/** Ends the page, whose browser takes `room` bytes; the ids of the events that it was handed, in order. */
async function endPage(eye, room) {
  const bodies = [];
  const sendBeacon = (url, body) =>
    url.endsWith("/events?key=k") && body.size <= room && ((room -= body.size), bodies.push(body), true);
  Object.defineProperty(globalThis, "navigator", { value: { sendBeacon }, configurable: true });
  eye.beacon();
  delete globalThis.navigator;
  const handed = await Promise.all(bodies.map(async (body) => JSON.parse(await body.text())));
  return handed.flat().map((event) => event.event_id);
}

test("what is on the wire when a page ends is handed to the browser, too", async () => {
  const gateway = await Gateway.start();
  gateway.faults = [hang];
  const eye = new BrowserEye({ url: gateway.url, key: "k\n", flushInterval: 5 });
  const sent = eye.track(randomUUID(), "test", "event", {});
  while (!gateway.requests.length) await sleep(1);
  const waiting = eye.track(randomUUID(), "test", "event", {});
  assert.deepEqual(await endPage(eye, 65_536), [waiting, sent]);
  // Its request may still be answered.
  assert.deepEqual([eye.stats().beaconed, eye.stats().waiting], [1, 1]);
  balance(eye.stats());
  gateway.close();
  await eye.close(1);
});

test("an event that the browser has no room for does not keep back those behind it", async () => {
  const eye = new BrowserEye({ url: "http://127.0.0.1:1", key: "k", flushInterval: 60_000, batchEvents: 1 });
  const [sent, , small] = [10, 900, 10].map((length) =>
    eye.track(randomUUID(), "test", "event", { text: "x".repeat(length) }),
  );
  assert.deepEqual(await endPage(eye, 800), [small, sent]);
  assert.deepEqual([eye.stats().beaconed, eye.stats().waiting], [1, 2]);
  await eye.close(1);
});

describe("a Node process", () => {
  const run = (url, code) =>
    spawnSync(process.execPath, ["--input-type=module", "-e", code], {
      cwd: new URL("../..", import.meta.url),
      env: { ...process.env, EYE_URL: url, EYE_KEY: "k" },
      encoding: "utf8",
      timeout: 120_000,
    });
  const CODE = (options) => `
    import { Eye } from "./dist/node.js";
    const eye = new Eye(${options});
    for (let n = 0; n < 3; n++) eye.track(crypto.randomUUID(), "test", "event", { n });`;

  test("sends what is waiting before it ends by itself", async () => {
    // The server is a child's: this process waits for the other one.
    const result = spawnSync(
      process.execPath,
      [
        "--input-type=module",
        "-e",
        `
      import { Gateway } from "./test/unit/faulty.mjs";
      import { spawn } from "node:child_process";
      const gateway = await Gateway.start();
      const env = { ...process.env, EYE_URL: gateway.url, EYE_KEY: "k" };
      const child = spawn(process.execPath, ["--input-type=module", "-e", process.argv[1]], { env, stdio: "inherit" });
      child.on("exit", (code) => { console.log(code, gateway.log.length); gateway.close(); });
    `,
        CODE("{ flushInterval: 60_000 }"),
      ],
      { cwd: new URL("../..", import.meta.url), encoding: "utf8", timeout: 120_000 },
    );
    assert.equal(result.stdout, "0 3\n", result.stderr);
  });

  test("ends in bounded time when nothing can be reached", () => {
    const result = run(UNREACHABLE, CODE("{}"));
    assert.equal(result.status, 0, result.stderr); // and not ended by the timeout of `run`
  });

  test("is told of no leak, however many clients it has", () => {
    const result = run(UNREACHABLE, `${CODE("{}")} for (let n = 0; n < 20; n++) new Eye();`);
    assert.equal(result.stderr, "");
  });

  test("can require it as CommonJS", () => {
    const result = spawnSync(process.execPath, ["-e", 'require("./dist/node.cjs").Eye.name'], {
      cwd: new URL("../..", import.meta.url),
    });
    assert.equal(result.status, 0);
  });
});
