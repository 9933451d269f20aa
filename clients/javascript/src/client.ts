import { type Fate, fates, retryAfter } from "./answer.js";

export interface Options {
  /** The gateway, such as `https://eye.example.com`. */
  url: string;
  /** The application's key; in a browser a write-only one. */
  key: string;
  /** Events in one request, at most. */
  batchEvents?: number;
  /** Bytes of JSON in one request, at most: a browser lets a page that ends have 64 KiB on their way. */
  batchBytes?: number;
  /** Milliseconds an event waits for others to share its request. */
  flushInterval?: number;
  /** Events held in memory, at most; later ones are dropped and counted. */
  bufferEvents?: number;
  /** Characters of JSON that an event has at most; a larger one is dropped and counted. */
  maxEventBytes?: number;
  /** Milliseconds until a request without an answer is given up and sent again. */
  timeout?: number;
  /** Where events wait so that they outlive the page, such as `localStorage`. */
  spool?: Spool | undefined;
}

/** The part of `Storage` that a spool needs. */
export interface Spool {
  readonly length: number;
  key(place: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/**
 * The fates of the events, each counted once:
 * `accepted + recovered === delivered + beaconed + rejected + lost + waiting`.
 */
export interface Stats {
  /** Events for which `track` returned an id. */
  accepted: number;
  /** Events found in the spool of a page that ended before it had a receipt for them. */
  recovered: number;
  /** Events the gateway gave a receipt for. */
  delivered: number;
  /** Events handed to the browser when the page ended: no answer can reach it any more. */
  beaconed: number;
  /** Events the gateway refused for good, by its error code. */
  rejected: Record<string, number>;
  /** Accepted events given up when the client closed, and in no spool. */
  lost: number;
  /** Events never accepted: `buffer_full`, `invalid`, `too_large`, `closed`. */
  dropped: Record<string, number>;
  /** Requests sent again, whatever the reason. */
  retries: number;
  /** Events in the queue or on the wire; of a closed client, those that it left in the spool. */
  waiting: number;
}

interface Waiting {
  id: string;
  /** The event as JSON. */
  json: string;
  /** Whether the spool has it. */
  stored?: boolean;
}

/** How a request travels; Node's differs from the browser's. */
export type Post = (request: {
  url: string;
  key: string;
  body: string;
  signal: AbortSignal;
  /** Whether the one before has failed. */
  again: boolean;
}) => Promise<Response>;

const FIRST_BACKOFF = 200;
const MAX_BACKOFF = 30_000;
const PREFIX = "eye:";

/**
 * Sends events in batches, one request at a time, and again under the same ids until the gateway has
 * given a receipt for each. Nothing here throws into the application or blocks it.
 */
export class Eye {
  readonly #url: string;
  readonly #key: string;
  readonly #options: Required<Omit<Options, "url" | "key" | "spool">>;
  readonly #spool: Spool | undefined;
  readonly #post: Post;
  readonly #stats: Stats = {
    accepted: 0,
    recovered: 0,
    delivered: 0,
    beaconed: 0,
    rejected: {},
    lost: 0,
    dropped: {},
    retries: 0,
    waiting: 0,
  };
  #queue: Waiting[] = [];
  /** How many events a closed client left in the spool. */
  #left = 0;
  /** How many of the queue's first events are on the wire. */
  #sending = 0;
  #loop: Promise<void> | undefined;
  /** Ends the present pause early, if it is one that may be. */
  #wake: (() => void) | undefined;
  /** Gives up the request on the wire. */
  #abort: (() => void) | undefined;
  /** How many requests in a row have failed. */
  #failures = 0;
  #hurry = false;
  #closed = false;

  /** Throws if there is no `url` or no `key`, or they can't be one; nothing else here throws. */
  constructor(options: Partial<Options> = {}, post: Post = browserPost) {
    const { url, key, spool, ...rest } = options;
    if (!url || !key) throw new TypeError("The Eye needs a url and a key");
    // A key from a file ends with a line feed. A key that no header carries would never be sent, and nobody would know.
    this.#key = key.trim();
    if (!/^[ -~]+$/.test(this.#key))
      throw new TypeError("The Eye's key has a character that no HTTP header carries");
    try {
      this.#url = new URL(`${url.trim().replace(/\/+$/, "")}/events`).href;
    } catch {
      // The error must not show the text: it may be the key, if the caller has mixed up the two.
      throw new TypeError("The Eye's url must be like https://eye.example.com");
    }
    this.#post = post;
    this.#spool = spool;
    this.#options = {
      batchEvents: 100,
      batchBytes: 30_000,
      flushInterval: 1000,
      bufferEvents: 1000,
      maxEventBytes: 28_000,
      timeout: 10_000,
      ...rest,
    };
    this.#recover();
  }

  /**
   * Record that something happened, now. Returns the event's id, by which one can ask for its fate, or `undefined` if
   * the event was dropped, which is counted.
   */
  track(sessionId: string, category: string, name: string, data: object): string | undefined {
    try {
      if (this.#closed) return this.#drop("closed");
      if (typeof data !== "object" || data === null) return this.#drop("invalid");
      const id = uuid();
      // `stringify` escapes half a character (a lone surrogate), and no other character, as `\ud...`. No reader of the
      // log takes one. The second alternative passes over an escaped backslash, whose `ud...` is plain text.
      const json = JSON.stringify({
        event_id: id,
        session_id: sessionId,
        category,
        name,
        timestamp: new Date().toISOString(),
        data,
      }).replace(/\\(ud[89a-f]..|.)/g, (escape, what) => (what[1] ? "\ufffd" : escape));
      if (json.length > this.#options.maxEventBytes) return this.#drop("too_large");
      if (this.#queue.length >= this.#options.bufferEvents) return this.#drop("buffer_full");
      this.#stats.accepted++;
      this.#add({ id, json });
      return id;
    } catch {
      // A fault of an event must not reach the application.
      return this.#drop("invalid");
    }
  }

  /** The counts of the events so far, by fate. */
  stats(): Stats {
    const { rejected, dropped } = this.#stats;
    return {
      ...this.#stats,
      rejected: { ...rejected },
      dropped: { ...dropped },
      waiting: this.#queue.length + this.#left,
    };
  }

  /**
   * Send what is waiting without waiting for more; resolves when the queue is empty or after `timeout`
   * milliseconds, with whether it is empty.
   */
  async flush(timeout = 10_000): Promise<boolean> {
    this.#hurry = true;
    this.#wake?.();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeout)));
    await Promise.race([this.#loop, late]);
    clearTimeout(timer);
    return !this.#queue.length;
  }

  /**
   * Send what is waiting, for `timeout` milliseconds at most, then stop. What the spool has waits there for the next
   * page; the rest is counted as lost.
   */
  async close(timeout = 5000): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#failures = 0; // a backoff that has grown long would outlast the timeout
    await this.flush(timeout);
    this.#left = this.#queue.filter((event) => event.stored).length;
    this.#stats.lost += this.#queue.length - this.#left;
    this.#queue = [];
    this.#abort?.();
  }

  /**
   * The page ends: hand what has no receipt to the browser, which sends it without us, 64 KiB at most. First what was
   * never sent, then what is on the wire: a request that still waits for the gateway's permission (CORS) may end with
   * its page. Then, and with a spool, where the events stay until some page has their receipts, two copies arrive: the
   * second is known by its id.
   */
  beacon(): void {
    const sending = new Set(this.#queue.slice(0, this.#sending));
    const rest = [...this.#queue.slice(this.#sending), ...sending];
    while (rest.length) {
      const batch = rest.splice(0, this.#batchLength(rest));
      let taken = false;
      try {
        // Plain text needs no permission of the gateway's first, for which there is no time left.
        const body = new Blob([toBody(batch)], { type: "text/plain" });
        taken = navigator.sendBeacon(`${this.#url}?key=${encodeURIComponent(this.#key)}`, body);
      } catch {
        // There is no `sendBeacon`.
      }
      // Not taken: too large for what is left of the 64 KiB; the next may be smaller.
      if (taken && !this.#spool) {
        const handed = new Set(batch.filter((event) => !sending.has(event)));
        this.#queue = this.#queue.filter((event) => !handed.has(event));
        this.#stats.beaconed += handed.size;
      }
    }
  }

  #add(event: Waiting): void {
    this.#queue.push(event);
    try {
      if (this.#spool) {
        this.#spool.setItem(PREFIX + event.id, event.json);
        event.stored = true;
      }
    } catch {
      // The storage is full or forbidden: this event waits in memory alone.
    }
    this.#loop ??= this.#run();
    if (this.#queue.length === this.#options.batchEvents) this.#wake?.();
  }

  /** Sends until the queue is empty. */
  async #run(): Promise<void> {
    if (this.#queue.length < this.#options.batchEvents && !this.#hurry)
      await this.#pause("for more", this.#options.flushInterval);
    let limit = Infinity;
    while (this.#queue.length) {
      const batch = this.#queue.slice(0, Math.min(limit, this.#batchLength(this.#queue)));
      const { result, asked = 0, tooLarge } = await this.#send(batch);
      if (tooLarge && batch.length > 1) {
        limit = batch.length >> 1;
        continue;
      }
      this.#settle(batch, result);
      if (!result.includes(null)) {
        this.#failures = 0;
        limit = Infinity;
      } else if (this.#queue.length) {
        this.#stats.retries++;
        // The backoff comes on top of what the gateway asks for, so that pauses grow whatever that is.
        if (asked) await this.#pause("asked", asked);
        const backoff = Math.min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** this.#failures++);
        await this.#pause("backoff", backoff * (0.5 + Math.random() / 2));
      }
    }
    // In the same breath as the look at the queue: an event that comes now starts a new run.
    this.#hurry = false;
    this.#loop = undefined;
  }

  async #send(batch: Waiting[]): Promise<{ result: Fate[]; asked?: number; tooLarge?: boolean }> {
    const abort = new AbortController();
    this.#abort = () => abort.abort();
    const timer = setTimeout(this.#abort, this.#options.timeout);
    this.#sending = batch.length;
    try {
      const response = await this.#post({
        url: this.#url,
        key: this.#key,
        body: toBody(batch),
        signal: abort.signal,
        again: this.#failures > 0,
      });
      return {
        result: fates(response.status, await response.text(), batch.length),
        asked: retryAfter(response.headers.get("Retry-After")),
        tooLarge: response.status === 413,
      };
    } catch {
      return { result: batch.map(() => null) }; // no answer, or half of one
    } finally {
      clearTimeout(timer);
      this.#sending = 0;
      this.#abort = undefined;
    }
  }

  #settle(batch: Waiting[], result: Fate[]): void {
    if (!this.#queue.length) return; // closed, and counted as lost
    const done = new Set<Waiting>();
    batch.forEach((event, place) => {
      const fate = result[place];
      if (fate == null) return;
      done.add(event);
      if (fate === "") this.#stats.delivered++;
      else count(this.#stats.rejected, fate);
      try {
        this.#spool?.removeItem(PREFIX + event.id);
      } catch {
        // A storage that has become forbidden.
      }
    });
    this.#queue = this.#queue.filter((event) => !done.has(event));
  }

  /** How many of the first events fit into one request. */
  #batchLength(events: Waiting[]): number {
    let size = 0;
    let length = 0;
    for (const { json } of events) {
      // In UTF-8 a character may take three bytes; 50 are for the time of sending.
      size += (/^[\0-\x7f]*$/.test(json) ? json.length : json.length * 3) + 50;
      if (length && (size > this.#options.batchBytes || length === this.#options.batchEvents)) break;
      length++;
    }
    return length;
  }

  /** More events, `flush` and `close` end a pause for more; `close` a backoff; nothing one the gateway asked for. */
  #pause(why: "for more" | "backoff" | "asked", ms: number): Promise<void> {
    return new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      if (typeof timer === "object") timer.unref(); // Node: no process lives on for its events alone
      this.#wake = () => {
        if (why === "asked" || (why === "backoff" && !this.#closed)) return;
        clearTimeout(timer);
        resolve();
      };
    }).then(() => (this.#wake = undefined));
  }

  #recover(): void {
    const spool = this.#spool;
    if (!spool) return;
    try {
      const found: [string, Waiting][] = [];
      for (let place = 0; place < spool.length; place++) {
        const key = spool.key(place);
        if (!key?.startsWith(PREFIX)) continue;
        const json = spool.getItem(key) ?? "";
        try {
          const { event_id: id, timestamp } = JSON.parse(json);
          // Another program's storage may begin so, too.
          if (key === PREFIX + id) found.push([timestamp, { id, json }]);
        } catch {
          // Not one of ours.
        }
      }
      found.sort(([a], [b]) => (a < b ? -1 : 1));
      for (const [, event] of found.slice(0, this.#options.bufferEvents)) {
        this.#stats.recovered++;
        this.#add(event);
      }
    } catch {
      // No storage: nothing was left there either.
    }
  }

  #drop(reason: string): undefined {
    count(this.#stats.dropped, reason);
    return undefined;
  }
}

const browserPost: Post = ({ url, key, body, signal, again }) => {
  const bytes = new TextEncoder().encode(body);
  return fetch(url, {
    method: "POST",
    headers: { "Authorization": `Bearer ${key}`, "Content-Type": "application/json" },
    body: bytes,
    // The request goes on when the page ends. Only 64 KiB of a page's requests may: if that is why one failed,
    // the next must do without.
    keepalive: !again && bytes.length < 60_000,
    credentials: "omit",
    signal,
  });
};

/** A JSON array, with the time of this attempt in each event. */
function toBody(events: Waiting[]): string {
  const end = `,"sent_at":"${new Date().toISOString()}"}`;
  return `[${events.map(({ json }) => json.slice(0, -1) + end).join(",")}]`;
}

function count(counts: Record<string, number>, reason: string): void {
  counts[reason] = (counts[reason] ?? 0) + 1;
}

/** A random UUID (version 4), also on pages without TLS, where `crypto.randomUUID` is missing. */
export function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
