// The running pipeline that the tests in gateway/ and browser/ need; without one they fail and say so.
import { setTimeout as sleep } from "node:timers/promises";

export function pipeline() {
  const { EYE_URL, EYE_KEY, EYE_QUERY_URL, EYE_BROWSER_KEY = "demo-browser-key" } = process.env;
  if (!EYE_URL || !EYE_KEY || !EYE_QUERY_URL) {
    throw new Error(
      "EYE_URL, EYE_KEY and EYE_QUERY_URL are not set: these tests need a running pipeline, as " +
        "`target/debug/eye with -- make test-javascript` starts one (`make unit-clients` needs none)",
    );
  }
  return { url: EYE_URL, key: EYE_KEY, queryUrl: EYE_QUERY_URL, browserKey: EYE_BROWSER_KEY };
}

/** The answer of the query API; `undefined` if it is 404. */
async function get(path) {
  const response = await fetch(pipeline().queryUrl + path);
  if (response.status === 404) return undefined;
  if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

async function eventually(what, read) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const found = await read();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`no ${what} after 60 s`);
    await sleep(50);
  }
}

/** The verdict on an event, as soon as there is one. */
export const fate = (id) => eventually(`verdict on ${id}`, () => get(`/v1/events/${id}`));

/** The accepted events of a session, in its order, when there are `count` of them. */
export const timeline = (session, count) =>
  eventually(`${count} events of session ${session}`, async () => {
    const events = (await get(`/v1/sessions/${session}?limit=10000`))?.events ?? [];
    return events.length >= count ? events : undefined;
  });
