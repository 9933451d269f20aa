// When a session of a page begins and ends, in a real browser against the real gateway.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { fate, pipeline, timeline } from "../pipeline.mjs";
import { ORIGIN, launch, serve, session } from "./browser.mjs";

const { url, browserKey: key } = pipeline();
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const address = (path) => `${ORIGIN}${path}?${new URLSearchParams({ url, key })}`;

let server, browser;
before(async () => {
  server = await serve('<button data-eye-click="chat bubble">chat</button>');
  browser = await launch(server.address().port, ORIGIN);
});
after(async () => {
  await browser?.close();
  server?.close();
});

const names = (events) => events.map(({ name }) => name);

test("in an open page a session ends with its idle time, and the next event begins another", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(address("/"));
  const first = await session(context);
  // In place of 30 minutes; the browser decides when the cookie is gone.
  await page.evaluate(() => (document.cookie = document.cookie + "; Path=/; Max-Age=1; SameSite=Lax"));
  await page.waitForFunction(() => document.cookie === "");
  await page.click("button");
  await page.evaluate(() => eye.click("the same session"));
  const second = await session(context);
  assert.match(second, UUID);
  assert.notEqual(second, first);
  assert.equal(await page.evaluate(() => eye.eye.flush()), true);
  assert.deepEqual(names(await timeline(first, 1)), ["pageview"]);
  assert.deepEqual(names(await timeline(second, 2)), ["cta click", "cta click"]);
  await context.close();
});

test("clearing the cookies ends a session, and all tabs are in the one that follows", async () => {
  const context = await browser.newContext();
  const tabs = [await context.newPage(), await context.newPage()];
  for (const tab of tabs) await tab.goto(address("/"));
  const first = await session(context);
  await context.clearCookies();
  await tabs[1].click("button");
  const second = await session(context);
  await tabs[0].click("button");
  assert.notEqual(second, first);
  assert.equal(await session(context), second);
  for (const tab of tabs) assert.equal(await tab.evaluate(() => eye.eye.flush()), true);
  assert.deepEqual(names(await timeline(second, 2)), ["cta click", "cta click"]);
  await context.close();
});

for (const value of ["-".repeat(36), "0123456789abcdef0123456789abcdef0123"]) {
  test(`a cookie that is no session, "${value}", is replaced by one that is`, async () => {
    const context = await browser.newContext();
    await context.addCookies([{ name: "eye_session", value, url: ORIGIN }]);
    const page = await context.newPage();
    await page.goto(address("/"));
    const id = await session(context);
    assert.match(id, UUID);
    assert.equal(await page.evaluate(() => eye.eye.flush()), true);
    assert.deepEqual(names(await timeline(id, 1)), ["pageview"]);
    await context.close();
  });
}

test("where no cookie is kept a session lives in the page, and ends after as much idle time", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error));
  // An event of the future is rejected, so the page's clock starts behind.
  const MINUTE = 60_000;
  await page.clock.install({ time: Date.now() - 60 * MINUTE });
  await page.goto(address("/outer"));
  await page.evaluate((src) => {
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts allow-forms";
    frame.src = src;
    document.body.append(frame);
  }, address("/inner"));
  await page.frameLocator("iframe").locator("button").click();
  const frame = page.frames().find((frame) => frame.url().includes("/inner"));
  const first = await frame.evaluate(() => eye.session);
  await page.clock.fastForward(29 * MINUTE);
  const late = await frame.evaluate(() => [eye.click("late"), eye.session]);
  await page.clock.fastForward(30 * MINUTE);
  const [id, second] = await frame.evaluate(() => [eye.click("later"), eye.session]);
  assert.equal(late[1], first);
  assert.notEqual(second, first);
  assert.equal(await frame.evaluate(() => eye.eye.flush()), true);
  assert.deepEqual(names(await timeline(first, 3)), ["pageview", "cta click", "cta click"]);
  assert.equal((await fate(id)).verdict, "accepted");
  assert.deepEqual(errors, []);
  await context.close();
});
