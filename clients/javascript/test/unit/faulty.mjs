// A gateway that misbehaves on purpose, in ways the real one can't be made to show on demand: a real HTTP
// server on a real socket, whose log is the test's.
import { createServer } from "node:http";
import { once } from "node:events";
import { gunzipSync } from "node:zlib";

export class Gateway {
  /** Each is taken by one request, in order; when there are none left all is well. */
  faults = [];
  requests = [];
  log = [];

  static async start() {
    const gateway = new Gateway();
    gateway.server = createServer((request, response) => gateway.#serve(request, response));
    gateway.server.listen(0, "127.0.0.1");
    await once(gateway.server, "listening");
    gateway.url = `http://127.0.0.1:${gateway.server.address().port}`;
    return gateway;
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }

  /** The ids in the log, first copies only: later ones are judged duplicates. */
  get ids() {
    return [...new Set(this.log.map((event) => event.event_id))];
  }

  append(events) {
    return events.map((event) => ({
      event_id: event.event_id,
      partition: 0,
      offset: this.log.push(event) - 1,
    }));
  }

  async #serve(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    let body = Buffer.concat(chunks);
    if (request.headers["content-encoding"] === "gzip") body = gunzipSync(body);
    const events = JSON.parse(body);
    this.requests.push({ at: performance.now(), headers: request.headers, events, bytes: body.length });
    const fault = this.faults.shift();
    if (!fault?.(this, events, response)) answer(response, 202, { receipts: this.append(events) });
  }
}

export function answer(response, status, body, headers = {}) {
  response.writeHead(status, headers).end(typeof body === "string" ? body : JSON.stringify(body));
  return true;
}

export const status =
  (code, headers, body = "") =>
  (_gateway, _events, response) =>
    answer(response, code, body, headers);

export const reset =
  ({ afterAppend }) =>
  (gateway, events, response) => {
    if (afterAppend) gateway.append(events);
    response.socket.resetAndDestroy();
    return true;
  };

/** Append, and never answer. */
export const hang = (gateway, events) => Boolean(gateway.append(events));

/** Append, and end the connection in the middle of the receipts. */
export const cutShort = (gateway, events, response) => {
  const body = JSON.stringify({ receipts: gateway.append(events) });
  response.writeHead(202, { "Content-Length": body.length });
  response.write(body.slice(0, body.length / 2), () => response.socket.resetAndDestroy());
  return true;
};

export const tooLargeOver = (count) => (_gateway, events, response) =>
  events.length > count && answer(response, 413, { code: "body_too_large" });

/** Refuse the events at these places of the batch with these codes. */
export const receiptErrors = (errors) => (gateway, events, response) => {
  const receipts = events.map((event, place) =>
    errors[place] ? { error: { code: errors[place], message: "no" } } : gateway.append([event])[0],
  );
  return answer(response, receipts.every((receipt) => receipt.error) ? 400 : 202, { receipts });
};
