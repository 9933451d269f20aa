// The example shop in a real browser against the real gateway: one session through all four pages, three of
// which the server records.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { pipeline, timeline } from "../pipeline.mjs";
import { launch, session } from "./browser.mjs";

const SHOP = fileURLToPath(new URL("../../../../examples/shop", import.meta.url));
const { url, key, browserKey } = pipeline();
/** As `make example` has it; the shop of the test listens elsewhere. */
const SHOP_ORIGIN = "http://localhost:8090";
let shop, browser;

before(async () => {
  const env = { ...process.env, EYE_URL: url, EYE_KEY: key, EYE_BROWSER_KEY: browserKey };
  shop = spawn(".venv/bin/python", ["-u", "manage.py", "runserver", "--noreload", "127.0.0.1:0"], {
    cwd: SHOP,
    env,
  });
  let said = "";
  const port = await new Promise((resolve, reject) => {
    const read = (chunk) => {
      said += chunk;
      const found = said.match(/http:\/\/127\.0\.0\.1:(\d+)/)?.[1];
      if (found && found !== "0") resolve(found);
    };
    shop.stdout.on("data", read);
    shop.stderr.on("data", read);
    shop.on("exit", (code) => reject(new Error(`the shop ended with ${code}:\n${said}`)));
  });
  browser = await launch(port, SHOP_ORIGIN);
});
after(async () => {
  await browser?.close();
  if (shop?.exitCode === null) {
    shop.kill("SIGINT");
    await once(shop, "exit");
  }
});

test("a visit is one session, in its order", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(`${SHOP_ORIGIN}/`);
  await page.getByRole("link", { name: "Chat with us" }).click();
  await page.getByRole("link", { name: "Contact" }).click();
  await page.getByLabel("First name").fill("John");
  await page.getByLabel("Last name").fill("Doe");
  await page.getByRole("button", { name: "Send" }).click();
  await page.getByRole("status").waitFor();
  await page.getByRole("link", { name: "In the browser" }).click();
  // Only a page that has loaded listens to clicks.
  await page.waitForURL("**/in-the-browser", { waitUntil: "load" });
  await page.getByRole("button", { name: "Chat with us" }).click();
  await page.getByLabel("First name").fill("John");
  await page.getByRole("button", { name: "Send" }).click();
  await page.waitForURL(/first_name=John/);
  await page.goto("about:blank");
  const events = await timeline(await session(context), 10);
  const fields = { first_name: "", last_name: "" };
  assert.deepEqual(
    events.map(({ name, data }) => [name, data.path, data.element ?? data.form]),
    [
      ["pageview", "/", undefined],
      ["cta click", "/chat", "chat bubble"],
      ["pageview", "/chat", undefined],
      ["pageview", "/send", undefined],
      ["submit", "/send", fields],
      ["pageview", "/send", undefined],
      ["pageview", "/in-the-browser", undefined],
      ["cta click", "/in-the-browser", "chat bubble"],
      ["submit", "/in-the-browser", fields],
      ["pageview", "/in-the-browser", undefined],
    ],
  );
  assert.ok(events.every(({ data }) => data.host === "localhost:8090"));
  assert.deepEqual(errors, []);
  await context.close();
});
