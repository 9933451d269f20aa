// The script is a guest in the page of an application, in a real browser: it throws nothing into it, gives back what
// it took, and records what there is to record whatever the page is made of.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { isDeepStrictEqual } from "node:util";

import { pipeline, timeline } from "../pipeline.mjs";
import { ORIGIN, launch, serve, session } from "./browser.mjs";

const { url, browserKey: key } = pipeline();
/** What a form has of its own, and loses to a field of the same name. */
const HIDDEN = [
  ...["elements", "getAttribute", "hasAttribute", "addEventListener", "closest", "matches", "tagName", "id"],
  ...["name", "localName", "attributes", "length", "__proto__"],
];
const fields = HIDDEN.map((name) => `<input name="${name}">`).join("");
const HTML = `
  <form id="hiding" data-eye-submit data-eye-click onsubmit="return false">${fields}<button id="hidden">send</button></form>
  <form id="several" data-eye-submit="values" onsubmit="return false">
    <input name="news" type="checkbox" value="daily" checked><input name="news" type="checkbox" value="weekly">
    <input name="news" type="checkbox" value="monthly" checked>
    <input name="none" type="checkbox" value="a"><input name="none" type="checkbox" value="b">
    <input name="terms" type="hidden" value="no"><input name="terms" type="checkbox" value="yes" checked>
    <input name="size" type="radio" value="s"><input name="size" type="radio" value="m" checked>
    <select name="colours" multiple><option selected>red<option>green<option selected>blue</select>
    <select name="colour"><option>red<option selected>green</select>
    <input name="line" value="1"><input name="line" value="2">
    <input name="pin" type="password" value="1"><input name="pin" type="password" value="2">
    <input name="__proto__" value="kept"><button id="chosen">send</button>
  </form>
  <open-parts></open-parts>
  <outer-frame>
    <form data-eye-submit onsubmit="return false"><input name="slotted"><button id="slotted">send</button></form>
  </outer-frame>
  <script>
    for (const [name, inside] of [["outer-frame", "<inner-frame><slot></slot></inner-frame>"], ["inner-frame", "<slot></slot>"]])
      customElements.define(name, class extends HTMLElement {
        constructor() {
          super();
          this.attachShadow({ mode: "open" }).innerHTML = inside;
        }
      });
    customElements.define("open-parts", class extends HTMLElement {
      constructor() {
        super();
        this.attachShadow({ mode: "open" }).innerHTML = "<inner-parts></inner-parts>";
      }
    });
    customElements.define("inner-parts", class extends HTMLElement {
      constructor() {
        super();
        this.attachShadow({ mode: "open" }).innerHTML =
          '<button id="inside" data-eye-click="inside"><b>x</b></button>' +
          '<form data-eye-submit onsubmit="return false"><input name="city"><button id="send">send</button></form>';
      }
    });
  </script>`;

let server, browser, context, page, errors;
before(async () => {
  server = await serve(HTML);
  browser = await launch(server.address().port, ORIGIN);
});
after(async () => {
  await browser?.close();
  server?.close();
});
beforeEach(async () => {
  context = await browser.newContext();
  page = await context.newPage();
  errors = [];
  page.on("pageerror", (error) => errors.push(error));
});
afterEach(() => context.close());

const open = (path = "/") => page.goto(`${ORIGIN}${path}?${new URLSearchParams({ url, key })}`);

/** All that the page's session has once what waits is sent: what happened, and where or what. */
async function recorded(count, id) {
  assert.equal(await page.evaluate(() => eye.eye.flush()), true);
  return (await timeline(id ?? (await session(context)), count)).map(({ name, data }) => [
    name,
    data.element ?? data.form ?? data.path,
  ]);
}

for (const [what, forbid] of Object.entries({
  "cookies are": () => {
    const denied = () => {
      throw new DOMException("denied", "SecurityError");
    };
    Object.defineProperty(document, "cookie", { get: denied, set: denied });
  },
  "a storage is": () =>
    Object.defineProperty(window, "localStorage", {
      get() {
        throw new DOMException("denied", "SecurityError");
      },
    }),
  "sendBeacon is": () => Object.defineProperty(Navigator.prototype, "sendBeacon", { value: undefined }),
  "a beacon of this type is": () =>
    Object.defineProperty(Navigator.prototype, "sendBeacon", {
      value() {
        throw new DOMException("denied", "SecurityError");
      },
    }),
  "a change of history is": () => Object.freeze(history),
})) {
  test(`nothing is thrown into a page to which ${what} forbidden`, async () => {
    await page.addInitScript(forbid);
    await open();
    const id = await page.evaluate(
      ({ url, key }) => {
        eye.track("page interaction", "pageview", { host: "h", path: "/tracked" });
        eye.click("clicked");
        history.pushState({}, "", "/pushed");
        new eye.constructor({ url, key, spool: true });
        return eye.session;
      },
      { url, key },
    );
    await page.click("#inside");
    await page.evaluate(() => window.dispatchEvent(new PageTransitionEvent("pagehide")));
    const expected = [
      ["pageview", "/tracked"],
      ["cta click", "clicked"],
      ["cta click", "inside"],
    ];
    const has = (events, event) => events.some((found) => isDeepStrictEqual(found, event));
    // There are more events than these, and the last ones may come last.
    const deadline = Date.now() + 60_000;
    let events = [];
    while (!expected.every((event) => has(events, event)) && Date.now() < deadline)
      events = await recorded(5, id);
    for (const event of expected) assert.ok(has(events, event), event[1]);
    assert.deepEqual(errors, []);
  });
}

test("a form is recorded whatever the names of its fields", async () => {
  await open();
  // Playwright itself fails at such a form.
  await page.evaluate(() => document.getElementById("hidden").click());
  assert.deepEqual((await recorded(3)).slice(1), [
    ["cta click", "hiding"],
    ["submit", Object.fromEntries(HIDDEN.map((name) => [name, ""]))],
  ]);
  assert.deepEqual(errors, []);
});

test("several values of one name are a list", async () => {
  await open();
  await page.evaluate(() => document.getElementById("chosen").click());
  const form = JSON.parse(
    '{"news": ["daily", "monthly"], "none": [], "terms": "yes", "size": "m", "colours": ["red", "blue"],' +
      '"colour": "green", "line": ["1", "2"], "pin": "", "__proto__": "kept"}',
  );
  assert.deepEqual((await recorded(2))[1], ["submit", form]);
});

test("clicks and submits inside of components are recorded", async () => {
  await open();
  await page.click("#inside b");
  await page.click("#send");
  await page.locator("input[name=city]").press("Enter");
  assert.deepEqual((await recorded(4)).slice(1), [
    ["cta click", "inside"],
    ["submit", { city: "" }],
    ["submit", { city: "" }],
  ]);
});

test("a form in the slots of components is recorded once", async () => {
  await open();
  await page.click("#slotted");
  await page.click("#slotted");
  await page.evaluate(() => eye.click("last"));
  assert.deepEqual((await recorded(4)).slice(1), [
    ["submit", { slotted: "" }],
    ["submit", { slotted: "" }],
    ["cta click", "last"],
  ]);
});

test("text is cut between characters, and half a character is replaced", async () => {
  await open();
  await page.evaluate(() => {
    eye.click("x".repeat(254) + "🙂🙂");
    eye.click("🙂".repeat(256));
    eye.click("half \ud83d");
    eye.click("\\ud83d is text");
  });
  assert.deepEqual((await recorded(5)).slice(1), [
    ["cta click", "x".repeat(254) + "🙂"],
    ["cta click", "🙂".repeat(255)],
    ["cta click", "half \ufffd"],
    ["cta click", "\\ud83d is text"],
  ]);
});

test("close gives the history back, unless somebody has wrapped it since", async () => {
  await open();
  const found = await page.evaluate(
    async ({ url, key }) => {
      await eye.close();
      const theirs = history.pushState;
      const first = new eye.constructor({ url, key });
      await first.close();
      const givenBack = history.pushState === theirs;
      const second = new eye.constructor({ url, key });
      const before = history.pushState;
      let routed = 0;
      history.pushState = function (...args) {
        routed++;
        return before.apply(this, args);
      };
      await second.close();
      history.pushState({}, "", "/c");
      return { givenBack, routed, path: location.pathname, stats: second.eye.stats() };
    },
    { url, key },
  );
  assert.equal(found.givenBack, true);
  assert.deepEqual([found.routed, found.path], [1, "/c"]);
  // What the page does after `close` concerns the closed one no more.
  assert.deepEqual([found.stats.accepted, found.stats.dropped], [1, {}]);
});

test("one EyePage survives the end of another", async () => {
  await open();
  await page.evaluate(
    async ({ url, key }) => {
      const one = eye;
      window.eye = new eye.constructor({ url, key });
      await one.close();
      history.pushState({}, "", "/d");
    },
    { url, key },
  );
  assert.deepEqual((await recorded(3)).at(-1), ["pageview", "/d"]);
});

test("a view after a replaced path is none of the same page", async () => {
  await open("/a");
  await page.evaluate(() => {
    history.replaceState({}, "", "/b");
    history.pushState({}, "", "/a");
    history.pushState({}, "", "/a?page=2");
  });
  assert.deepEqual(await recorded(2), [
    ["pageview", "/a"],
    ["pageview", "/a"],
  ]);
});

test("an EyePage that is closed and made anew at once, as by React's StrictMode, is one view", async () => {
  await open();
  await page.evaluate(
    async ({ url, key }) => {
      const { constructor: EyePage } = eye;
      const closed = eye.close();
      window.eye = new EyePage({ url, key });
      eye.click("in the second");
      await closed;
    },
    { url, key },
  );
  assert.deepEqual(await recorded(2), [
    ["pageview", "/"],
    ["cta click", "in the second"],
  ]);
  // A page that is made later shows a view of its own.
  await page.evaluate(
    async ({ url, key }) => {
      const { constructor: EyePage } = eye;
      await eye.close();
      await new Promise((resolve) => setTimeout(resolve));
      window.eye = new EyePage({ url, key });
    },
    { url, key },
  );
  assert.deepEqual((await recorded(3)).at(-1), ["pageview", "/"]);
});
