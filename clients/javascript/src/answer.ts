/** What an answer of the gateway settles. */

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

/** The fates of `count` events by the answer to their request. */
export function fates(status: number, body: string, count: number): Fate[] {
  if (status === 202 || status === 400) {
    const receipts = parse(body);
    if (receipts?.length === count) {
      return receipts.map(({ error }) => {
        if (!error) return "";
        const code = error.code ?? "unknown";
        return RETRYABLE_EVENT.includes(code) ? null : code;
      });
    }
  }
  const final = status >= 400 && status < 500 && !RETRYABLE_STATUS.includes(status);
  return Array<Fate>(count).fill(final ? (status === 413 ? "too_large" : `http_${status}`) : null);
}

/**
 * Milliseconds that the gateway asks to wait at least: a number of seconds or a date (RFC 9110, 10.2.3). 0 for what
 * is neither, or has passed; five minutes at most.
 */
export function retryAfter(value: string | null): number {
  const seconds = Number(value);
  const ms = Number.isNaN(seconds) ? Date.parse(value!) - Date.now() : seconds * 1000;
  return Math.min(Math.max(ms || 0, 0), 300_000);
}

function parse(body: string): Receipt[] | undefined {
  try {
    const { receipts } = JSON.parse(body);
    return Array.isArray(receipts) ? receipts : undefined;
  } catch {
    return undefined;
  }
}
