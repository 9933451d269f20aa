// How long a client waits before it repeats a request, by the pauses it asks the clock for: none is waited for here.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { afterEach, describe, mock, test } from "node:test";

import { Eye as BrowserEye } from "../../dist/index.js";
import { Eye as NodeEye } from "../../dist/node.js";

/** No pause is as long: of the timers only that of a request is. */
const TIMEOUT = 1_000_000;
const TRIES = 12;
const past = new Date(0).toUTCString();

afterEach(() => mock.restoreAll());

/** The milliseconds between `TRIES` requests that were all answered by 503 and this `Retry-After`, by dice that fall so. */
async function pauses(Eye, retryAfter, random) {
  const between = [];
  mock.method(Math, "random", () => random);
  mock.method(globalThis, "fetch", async () => {
    between.push(0);
    if (between.length > TRIES) return Response.json({ receipts: [{}] }, { status: 202 });
    return new Response("", {
      status: 503,
      headers: retryAfter === undefined ? {} : { "Retry-After": retryAfter },
    });
  });
  mock.method(globalThis, "setTimeout", (act, ms) => {
    if (ms === TIMEOUT) return 0;
    if (between.length) between[between.length - 1] += ms;
    queueMicrotask(act);
    return 0;
  });
  const eye = new Eye({ url: "http://gateway.example", key: "k", timeout: TIMEOUT });
  eye.track(randomUUID(), "test", "event", {});
  while (eye.stats().waiting) await new Promise(setImmediate);
  assert.equal(eye.stats().retries, TRIES);
  return between.slice(0, TRIES);
}

for (const [kind, Eye] of [
  ["browser", BrowserEye],
  ["node", NodeEye],
]) {
  describe(kind, () => {
    for (const value of [
      undefined,
      "0",
      past,
      "-1",
      "1.5",
      "9".repeat(400),
      "-".repeat(400),
      "soon",
      "",
      "7",
      "120",
    ]) {
      test(`pauses grow, with Retry-After: ${value?.slice(0, 40)}`, async () => {
        const asked = { 1.5: 1500, 7: 7000, 120: 120_000, ["9".repeat(400)]: 300_000 }[value] ?? 0;
        const short = await pauses(Eye, value, 0);
        const long = await pauses(Eye, value, 0.999);
        for (const [place, pause] of short.entries()) {
          const backoff = Math.min(30_000, 200 * 2 ** place);
          assert.ok(pause >= asked + backoff / 2, `pause ${place} is ${pause}`);
          assert.ok(long[place] <= asked + backoff, `pause ${place} is ${long[place]}`);
          assert.ok(long[place] > pause, "without jitter all clients come back at once");
        }
      });
    }

    test("a date of Retry-After is waited for", async () => {
      const date = new Date(Date.now() + 60_000).toUTCString();
      assert.ok((await pauses(Eye, date, 0)).every((pause) => pause > 50_000));
    });
  });
}
