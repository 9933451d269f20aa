import { Eye, type Options, uuid } from "./client";

export interface PageOptions extends Omit<Options, "spool"> {
  /** Keep events in `localStorage` until they have their receipts, so that they outlive the page. */
  spool?: boolean;
}

const COOKIE = "eye_session";
/** Seconds without an event after which a session ends. */
const MAX_AGE = 30 * 60;

/**
 * A web page: records its views (also those by `history`), clicks on `data-eye-click="what"` and submits
 * of forms with `data-eye-submit`. Of a form the names of its fields are sent; their values only for
 * `data-eye-submit="values"`, and never those of password, hidden and file fields.
 *
 * The session is in the cookie `eye_session`, which the middlewares of the Python client share.
 */
export class EyePage {
  /** The client underneath, for its counts. */
  readonly eye: Eye;
  readonly #stop = new AbortController();
  #session = "";
  #seen = "";

  constructor(options: PageOptions) {
    const { spool, ...rest } = options;
    this.eye = new Eye({ ...rest, spool: spool ? storage() : undefined });
    const signal = this.#stop.signal;
    const on = (target: EventTarget, type: string, listener: (event: Event) => void): void =>
      // Captured, so that a page that stops the event's way up is recorded, too.
      target.addEventListener(type, listener, { capture: true, passive: true, signal });
    on(document, "click", (event) => {
      const marked = (event.target as Element | null)?.closest?.("[data-eye-click]");
      if (marked)
        this.click(marked.getAttribute("data-eye-click") || marked.id || marked.tagName.toLowerCase());
    });
    on(document, "submit", (event) => {
      const form = event.target as HTMLFormElement;
      if (form.hasAttribute?.("data-eye-submit")) this.submit(form);
    });
    on(window, "popstate", () => this.#viewed());
    const pushState = history.pushState;
    history.pushState = (...args) => {
      pushState.apply(history, args);
      this.#viewed();
    };
    signal.addEventListener("abort", () => (history.pushState = pushState));
    // A page that is hidden may never be shown again; one that is left certainly can't hear an answer.
    on(document, "visibilitychange", () => document.visibilityState === "hidden" && void this.eye.flush());
    on(window, "pagehide", () => this.eye.beacon());
    on(window, "pageshow", (event) => {
      if ((event as PageTransitionEvent).persisted) this.pageview(); // came back from the cache
    });
    // A page that the browser renders ahead is seen when it is shown, if ever.
    if ((document as { prerendering?: boolean }).prerendering)
      on(document, "prerenderingchange", () => this.#viewed());
    else this.#viewed();
  }

  /** The session's id: that of the cookie, or a new one. */
  get session(): string {
    const found = document.cookie.match(`(?:^|; )${COOKIE}=([0-9a-fA-F-]{36})(?:;|$)`)?.[1];
    // Without cookies a session is one page.
    this.#session = found ?? (this.#session || uuid());
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `${COOKIE}=${this.#session}; Path=/; Max-Age=${MAX_AGE}; SameSite=Lax${secure}`;
    return this.#session;
  }

  /** Any event of this session; `data` is sent as it is. */
  track(category: string, name: string, data: object): string | undefined {
    return this.eye.track(this.session, category, name, data);
  }

  /** The page was seen. */
  pageview(): string | undefined {
    return this.track("page interaction", "pageview", place());
  }

  /** A call to action was clicked. */
  click(element: string): string | undefined {
    return this.track("page interaction", "cta click", { ...place(), element: element.slice(0, 255) });
  }

  /** A form was sent. */
  submit(form: HTMLFormElement): string | undefined {
    const values = form.getAttribute("data-eye-submit") === "values";
    const fields: Record<string, string> = {};
    for (const field of form.elements as unknown as Iterable<HTMLInputElement>) {
      if (!field.name || ["submit", "button", "reset", "image", "fieldset"].includes(field.type)) continue;
      const known = values && !["password", "hidden", "file"].includes(field.type);
      const chosen = !["checkbox", "radio"].includes(field.type) || field.checked;
      if (chosen || !(field.name in fields)) fields[field.name] = known && chosen ? field.value : "";
    }
    return this.track("form interaction", "submit", { ...place(), form: fields });
  }

  /** Stop listening, and send what is waiting. */
  close(): Promise<void> {
    this.#stop.abort();
    return this.eye.close();
  }

  #viewed(): void {
    // Another fragment or query is the same page.
    if (location.pathname === this.#seen) return;
    this.#seen = location.pathname;
    this.pageview();
  }
}

function place(): { host: string; path: string } {
  return { host: location.host.slice(0, 261) || "localhost", path: location.pathname.slice(0, 2048) || "/" };
}

function storage(): Storage | undefined {
  try {
    return localStorage;
  } catch {
    return undefined; // forbidden by the user's settings
  }
}
