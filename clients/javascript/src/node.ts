import { promisify } from "node:util";
import { gzip } from "node:zlib";

import { Eye as BaseEye, type Options, type Post } from "./client.js";

export type { Options, Spool, Stats } from "./client.js";
export { EyePage, type PageOptions } from "./page.js";

const compress = promisify(gzip);

const post: Post = async ({ url, key, body, signal }) =>
  fetch(url, {
    method: "POST",
    headers: {
      "Authorization": `Bearer ${key}`,
      "Content-Type": "application/json",
      ...(body.length > 4096 && { "Content-Encoding": "gzip" }),
    },
    body: body.length > 4096 ? await compress(body, { level: 1 }) : body,
    signal,
  });

/** For a server: larger batches, and a process that ends by itself sends what is waiting first. */
export class Eye extends BaseEye {
  constructor(options: Partial<Options> = {}) {
    const { EYE_URL = "", EYE_KEY = "" } = process.env;
    super(
      {
        url: EYE_URL,
        key: EYE_KEY,
        batchEvents: 500,
        batchBytes: 512 * 1024,
        flushInterval: 500,
        bufferEvents: 10_000,
        maxEventBytes: 256 * 1024,
        ...options,
      },
      post,
    );
    open.add(this);
  }

  override close(timeout?: number): Promise<void> {
    open.delete(this);
    return super.close(timeout);
  }
}

/** The clients that a process which ends by itself closes first. */
const open = new Set<Eye>();
process.on("beforeExit", () => open.forEach((eye) => void eye.close()));
