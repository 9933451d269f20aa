/** The fates of events, by the answer of the gateway. */

interface Receipt {
  event_id?: string;
  error?: { code?: string };
}

/** The fate of one event: in the log (`""`), refused for a reason, or `null`: to be sent again. */
export type Fate = string | null;

/** Statuses that say nothing about the events: beside every 5xx. */
const RETRYABLE_STATUS = [401, 403, 404, 408, 425, 429];
/** Errors in a receipt that say nothing about the event itself. */
const RETRYABLE_EVENT = ["queue_full", "brokers_slow", "brokers_refused"];

/**
 * The fates of `count` events by the answer to their request. An event is refused for good only by an answer with a
 * code. An answer without one is that of some other server on the way, and says nothing about the events. A 413 is the
 * exception: a body that is too large for that server never arrives.
 */
export function fates(status: number, body: string, count: number): Fate[] {
  const { receipts, code } = parse(body);
  if ((status === 202 || status === 400) && Array.isArray(receipts) && receipts.length === count) {
    return receipts.map(({ error }: Receipt) => {
      if (!error) return "";
      const reason = error.code ?? "unknown";
      return RETRYABLE_EVENT.includes(reason) ? null : reason;
    });
  }
  const final =
    status >= 400 && status < 500 && !RETRYABLE_STATUS.includes(status) && typeof code === "string";
  return Array<Fate>(count).fill(status === 413 ? "too_large" : final ? code : null);
}

/**
 * Milliseconds that the gateway asks to wait at least: a number of seconds or a date (RFC 9110, 10.2.3). 0 for any
 * other text and for a date that has passed; five minutes at most.
 */
export function retryAfter(value: string | null): number {
  const seconds = Number(value);
  const ms = Number.isNaN(seconds) ? Date.parse(value!) - Date.now() : seconds * 1000;
  return Math.min(Math.max(ms || 0, 0), 300_000);
}

function parse(body: string): { receipts?: unknown; code?: unknown } {
  try {
    return Object(JSON.parse(body));
  } catch {
    return {};
  }
}
