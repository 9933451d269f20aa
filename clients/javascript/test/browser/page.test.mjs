// A real browser against the real gateway: what a page records arrives, also when the page ends.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { pipeline, timeline } from "../pipeline.mjs";
import { ORIGIN, launch, serve, session } from "./browser.mjs";

const { url, browserKey: key } = pipeline();
const HTML = `
  <button id="bubble" data-eye-click="chat bubble"><b>chat</b></button>
  <button id="unmarked">other</button>
  <form data-eye-submit onsubmit="event.stopPropagation(); return false">
    <input name="first_name" value="John"><input name="password" type="password" value="secret">
    <button name="go">send</button>
  </form>
  <form id="values" data-eye-submit="values" onsubmit="return false">
    <input name="first_name" value="John"><input name="password" type="password" value="secret">
    <input name="token" type="hidden" value="secret"><input name="news" type="checkbox" value="yes" checked>
    <input name="size" type="radio" value="s"><input name="size" type="radio" value="m" checked>
    <button>send</button>
  </form>
  <form id="unmarked-form" onsubmit="return false"><input name="x"><button>send</button></form>`;

let server, browser;
before(async () => {
  server = await serve(HTML);
  browser = await launch(server.address().port, ORIGIN);
});
after(async () => {
  await browser?.close();
  server?.close();
});

const address = (path, attributes = {}) =>
  `${ORIGIN}${path}?${new URLSearchParams({ url, key, ...attributes })}`;

const facts = (events) => events.map(({ category, name, data }) => [category, name, data]);
const place = { host: "localhost:3000", path: "/" };

test("views, marked clicks and submits are recorded, and form values only when asked for", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(address("/"));
  await page.click("#bubble b");
  await page.click("#unmarked");
  await page.click("form[data-eye-submit='']  button");
  await page.click("#values button");
  await page.click("#unmarked-form button");
  await page.evaluate(() => {
    history.pushState({}, "", "/products/42?colour=red");
    history.pushState({}, "", "/products/42?colour=blue");
    history.pushState({}, "", "/cart");
  });
  await page.goBack();
  await page.goBack();
  await page.goBack();
  await page.waitForFunction(() => location.pathname === "/");
  const id = await page.evaluate(() => eye.track("browse", "no such type", { n: 1 }));
  assert.match(id, /^[0-9a-f-]{36}$/);
  assert.equal(await page.evaluate(() => eye.eye.flush()), true);
  const stats = await page.evaluate(() => eye.eye.stats());
  assert.equal(stats.delivered, 9);
  assert.deepEqual([stats.dropped, stats.rejected, stats.lost], [{}, {}, 0]);
  assert.deepEqual(facts(await timeline(await session(context), 8)), [
    ["page interaction", "pageview", place],
    ["page interaction", "cta click", { ...place, element: "chat bubble" }],
    ["form interaction", "submit", { ...place, form: { first_name: "", password: "" } }],
    [
      "form interaction",
      "submit",
      { ...place, form: { first_name: "John", password: "", token: "", news: "yes", size: "m" } },
    ],
    ["page interaction", "pageview", { ...place, path: "/products/42" }],
    ["page interaction", "pageview", { ...place, path: "/cart" }],
    ["page interaction", "pageview", { ...place, path: "/products/42" }],
    ["page interaction", "pageview", place],
  ]);
  await context.close();
});

test("what a page recorded last arrives when it is left at once", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  for (const path of ["/1", "/2", "/3"]) {
    await page.goto(address(path));
    await page.evaluate(() => document.querySelector("#bubble").click());
  }
  await page.goto("about:blank");
  const events = await timeline(await session(context), 6);
  assert.deepEqual(
    events.map(({ name, data }) => `${name} ${data.path}`),
    ["pageview /1", "cta click /1", "pageview /2", "cta click /2", "pageview /3", "cta click /3"],
  );
  await context.close();
});

test("what a page recorded last arrives when its tab is closed", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(address("/"));
  await page.evaluate(() => document.querySelector("#bubble").click());
  await page.close({ runBeforeUnload: true });
  const id = await session(context);
  assert.equal((await timeline(id, 2)).length, 2);
  await context.close();
});

test("what waits for the gateway's permission when the tab is closed arrives", async () => {
  // Requests that ask first (CORS) get no answer, all others go through.
  const silent = createServer(async (request, response) => {
    if (request.method === "OPTIONS") return;
    const body = Buffer.concat(await request.toArray());
    const headers = { "Content-Type": request.headers["content-type"], "Origin": request.headers.origin };
    response.end(await (await fetch(url + request.url, { method: "POST", headers, body })).text());
  });
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const asked = once(silent, "request");
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(address("/", { url: `http://127.0.0.1:${silent.address().port}` }));
  await asked;
  await page.evaluate(() => document.querySelector("#bubble").click());
  const id = await session(context);
  await page.close({ runBeforeUnload: true });
  assert.equal((await timeline(id, 2)).length, 2);
  await context.close();
  silent.closeAllConnections();
  silent.close();
});

test("a page that can't reach the gateway keeps its events for the next page, exactly once", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const events = `${url}/events*`;
  const spool = { spool: "" };
  // The gateway takes the events, but no answer comes back; then nothing goes through at all.
  // One handler for both, so that no try slips through between two.
  let lost = 0;
  let offline = false;
  await context.route(events, async (route) => {
    if (offline) return route.abort("internetdisconnected");
    if (route.request().method() === "POST") lost += (await route.fetch()).status() === 202;
    await route.abort("connectionreset");
  });
  await page.goto(address("/1", spool));
  await page.evaluate(() => void eye.eye.flush());
  await page.waitForFunction(() => eye.eye.stats().retries > 0);
  offline = true;
  await page.evaluate(() => document.querySelector("#bubble").click());
  await page.goto("about:blank");
  await context.unrouteAll({ behavior: "wait" });
  await page.goto(address("/2", spool));
  assert.equal(await page.evaluate(() => eye.eye.flush()), true);
  const stats = await page.evaluate(() => eye.eye.stats());
  assert.equal(stats.recovered, 2);
  assert.equal(stats.delivered, 3);
  assert.equal(await page.evaluate(() => Object.keys(localStorage).length), 0);
  assert.ok(lost > 0);
  const found = await timeline(await session(context), 3);
  assert.deepEqual(
    found.map(({ name, data }) => `${name} ${data.path}`),
    ["pageview /1", "cta click /1", "pageview /2"],
  );
  await context.close();
});

test("a page with a key that is not known holds its events, and counts them", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(address("/", { key: "no such key" }));
  await page.waitForFunction(() => eye.eye.stats().retries > 0);
  const stats = await page.evaluate(async () => (await eye.eye.close(100), eye.eye.stats()));
  assert.deepEqual([stats.accepted, stats.delivered, stats.lost], [1, 0, 1]);
  await context.close();
});
