// Debian's Chromium, and pages for it that need no server.
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

/** One of the origins that the local registry of applications lists for the browser key. */
export const ORIGIN = "http://localhost:3000";

export const launch = (args = []) =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
      ...["--disable-background-networking", "--disable-component-update", ...args],
    ],
  });

const script = readFileSync(new URL("../../dist/eye.min.js", import.meta.url), "utf8");

/** A context in which every page of `origin` is `html`, with the script started against `url`. */
export async function site(browser, { url, key, html = "", spool = false, origin = ORIGIN }) {
  const context = await browser.newContext();
  await context.route(`${origin}/**`, (route) => {
    if (route.request().url().endsWith("/eye.min.js")) {
      return route.fulfill({ contentType: "text/javascript", body: script });
    }
    const tag = `<script src="/eye.min.js" data-url="${url}" data-key="${key}" ${spool ? "data-spool" : ""}></script>`;
    return route.fulfill({ contentType: "text/html", body: `<!doctype html><title>t</title>${tag}${html}` });
  });
  return context;
}

export const session = async (context) =>
  (await context.cookies()).find(({ name }) => name === "eye_session")?.value;
