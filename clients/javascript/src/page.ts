import { Eye, type Options, uuid } from "./client.js";

export interface PageOptions extends Omit<Options, "spool"> {
  /** Keep events in `localStorage` until they have their receipts, so that they outlive the page. */
  spool?: boolean;
}

declare global {
  /** So that a program without the DOM's types can read those of this package. */
  interface HTMLFormElement {}
}

type Field = HTMLInputElement & Pick<HTMLSelectElement, "selectedOptions">;

const COOKIE = "eye_session";
/** Seconds without an event after which a session ends. */
const MAX_AGE = 30 * 60;

/**
 * The path of an `EyePage` that was closed in this very task. React's StrictMode closes what it has just opened and
 * opens another: both show the same view.
 */
let justLeft = "";

/**
 * A web page: records its views (also those by `history`), clicks on `data-eye-click="what"` and submits
 * of forms with `data-eye-submit`. Of a form the names of its fields are sent; their values only for
 * `data-eye-submit="values"`, and never those of password, hidden and file fields.
 *
 * The session is in the cookie `eye_session`, which the middlewares of the Python client share.
 * Where there is no page, such as on a server that renders one, it does nothing.
 */
export class EyePage {
  /** The client underneath, for its counts. */
  readonly eye: Eye;
  readonly #stop = new AbortController();
  /** The session of a page that can keep no cookie, and when it ends. */
  #session = { id: "", end: 0 };
  /** The path that the page shows. */
  #shown = "";

  constructor(options: PageOptions) {
    const { spool, ...rest } = options;
    // Without a spool where the user's settings forbid it.
    this.eye = new Eye({ ...rest, spool: (spool && quietly(() => localStorage)) || undefined });
    if (typeof document === "undefined") {
      void this.eye.close();
      return;
    }
    // Captured, so that a page that stops the event's way up is recorded, too.
    const how = { capture: true, passive: true, signal: this.#stop.signal };
    const on = (type: string, listener: (event: Event) => void): void =>
      window.addEventListener(type, (event) => quietly(() => listener(event)), how);
    // A form in a slot: its submit comes by the shadow root, too.
    const seen = new WeakSet<Event>();
    const submitted = (event: Event): void => {
      if (seen.has(event)) return;
      seen.add(event);
      if (attribute(event.target, "data-eye-submit") !== undefined)
        this.submit(event.target as HTMLFormElement);
    };
    const acted = (event: Event): void => {
      // No submit leaves its shadow tree, but the click or the key before it does.
      for (const node of event.composedPath())
        if (node instanceof ShadowRoot) node.addEventListener("submit", submitted, how);
    };
    on("submit", submitted);
    on("keydown", acted);
    on("click", (event) => {
      acted(event);
      const marked = event.composedPath().find((node) => attribute(node, "data-eye-click") !== undefined);
      if (marked)
        this.click(
          attribute(marked, "data-eye-click") ||
            attribute(marked, "id") ||
            property(marked, "tagName").toLowerCase(),
        );
    });
    on("popstate", () => this.#moved());
    this.#follow("pushState", () => this.#moved());
    // Another path of the page that was seen already.
    this.#follow("replaceState", () => (this.#shown = location.pathname));
    // A page that is hidden may never be shown again; one that is left certainly can't hear an answer.
    on("visibilitychange", () => document.visibilityState === "hidden" && void this.eye.flush());
    on("pagehide", () => this.eye.beacon());
    on("pageshow", (event) => {
      if ((event as PageTransitionEvent).persisted) this.pageview(); // came back from the cache
    });
    this.#shown = justLeft;
    // A page that the browser renders ahead is seen when it is shown, if ever.
    if ((document as { prerendering?: boolean }).prerendering) on("prerenderingchange", () => this.#moved());
    else this.#moved();
  }

  /** The session's id: that of the cookie, or a new one. */
  get session(): string {
    const now = Date.now();
    const id = cookie() ?? (now < this.#session.end ? this.#session.id : uuid());
    quietly(() => {
      const secure = location.protocol === "https:" ? "; Secure" : "";
      document.cookie = `${COOKIE}=${id}; Path=/; Max-Age=${MAX_AGE}; SameSite=Lax${secure}`;
    });
    // Only a page that can keep no cookie remembers its session: elsewhere it would outlive the cookie.
    const kept = cookie();
    this.#session = { id, end: kept ? 0 : now + MAX_AGE * 1000 };
    return kept ?? id;
  }

  /** Any event of this session; `data` is sent as it is. */
  track(category: string, name: string, data: object): string | undefined {
    return this.eye.track(this.session, category, name, data);
  }

  /** The page was seen. */
  pageview(): string | undefined {
    return quietly(() => this.track("page interaction", "pageview", place()));
  }

  /** A call to action was clicked. */
  click(element: string): string | undefined {
    return quietly(() =>
      this.track("page interaction", "cta click", { ...place(), element: cut(element, 255) }),
    );
  }

  /** A form was sent. */
  submit(form: HTMLFormElement): string | undefined {
    return quietly(() => {
      const values = attribute(form, "data-eye-submit") === "values";
      /** What was entered by a field's name, and how many fields that is, each of which may have a value. */
      const fields = new Map<string, { entered: string[]; places: number }>();
      for (const field of property(form, "elements") as Iterable<Field>) {
        const { name, type } = field;
        if (!name || ["submit", "button", "reset", "image", "fieldset"].includes(type)) continue;
        const found = fields.get(name) ?? { entered: [], places: 0 };
        fields.set(name, found);
        if (!values || ["password", "hidden", "file"].includes(type)) continue;
        // Of all radio buttons of a name one has a value; of a list that takes several, each option may have.
        found.places += type === "radio" ? 0 : type === "select-multiple" ? 2 : 1;
        for (const option of type === "select-multiple" ? field.selectedOptions : [field])
          if (!["checkbox", "radio"].includes(type) || field.checked) found.entered.push(option.value);
      }
      const entries = [...fields].map(([name, { entered, places }]) => [
        name,
        places > 1 ? entered : (entered[0] ?? ""),
      ]);
      return this.track("form interaction", "submit", { ...place(), form: Object.fromEntries(entries) });
    });
  }

  /** Stop listening, and send what is waiting. */
  close(): Promise<void> {
    this.#stop.abort();
    justLeft = this.#shown;
    setTimeout(() => (justLeft = ""));
    return this.eye.close();
  }

  #moved(): void {
    // Another fragment or query is the same page.
    if (location.pathname === this.#shown) return;
    this.#shown = location.pathname;
    this.pageview();
  }

  /** Calls `then` after `history[name]`, which `close` gives back unless somebody has wrapped it since. */
  #follow(name: "pushState" | "replaceState", then: () => void): void {
    quietly(() => {
      const { signal } = this.#stop;
      const theirs = history[name];
      const ours: typeof theirs = (...args) => {
        theirs.apply(history, args);
        if (!signal.aborted) quietly(then);
      };
      history[name] = ours;
      signal.addEventListener("abort", () => {
        if (history[name] === ours) history[name] = theirs;
      });
    });
  }
}

/** What a page can't do, or forbids, is no error of the application's. */
function quietly<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}

/** A property of an element, also of a form with a field of that name, which hides it. */
function property(element: unknown, name: string): any {
  return Reflect.get(HTMLFormElement.prototype, name, element);
}

/** Of an element; nothing else has one. */
function attribute(node: unknown, name: string): string | undefined {
  return quietly(() => property(node, "getAttribute").call(node, name)) ?? undefined;
}

function cookie(): string | undefined {
  return quietly(
    () =>
      document.cookie.match(
        `(?:^|; )${COOKIE}=([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?:;|$)`,
      )?.[1],
  );
}

function place(): { host: string; path: string } {
  return { host: cut(location.host, 261) || "localhost", path: cut(location.pathname, 2048) || "/" };
}

/** The first characters of a text, none of them halved. */
function cut(text: string, length: number): string {
  return [...`${text}`].slice(0, length).join("");
}
