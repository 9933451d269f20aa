// Debian's Chromium, and pages for it.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { chromium } from "playwright-core";

export const ORIGIN = "http://localhost:3000";

/** With `origin` served from a port of this machine: a browser lets no other pages at an address of it. */
export const launch = (port, origin) =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
      ...["--disable-background-networking", "--disable-component-update"],
      `--host-resolver-rules=MAP ${new URL(origin).host} 127.0.0.1:${port}`,
    ],
  });

const script = readFileSync(new URL("../../dist/eye.min.js", import.meta.url));

/** A site in which every page is `html`, with the script, whose attributes are the page's query. */
export async function serve(html) {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, ORIGIN);
    if (pathname === "/eye.min.js") return response.setHeader("Content-Type", "text/javascript").end(script);
    const attributes = [...searchParams].map(([name, value]) => `data-${name}="${value}"`).join(" ");
    response.setHeader("Content-Type", "text/html");
    response.end(
      `<!doctype html><title>t</title><link rel="icon" href="data:,">` +
        `<script src="/eye.min.js" ${attributes}></script>${html}`,
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

export const session = async (context) =>
  (await context.cookies()).find(({ name }) => name === "eye_session")?.value;
