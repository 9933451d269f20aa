/**
 * Send user-interaction events to The Eye.
 *
 * Layout, in reading order:
 * - `client.ts`: `Eye`, what an application calls; the bounded queue, retries, the accounts
 * - `answer.ts`: what an answer of the gateway settles
 * - `page.ts`: a web page's views, marked clicks and form submits, and its session
 * - `node.ts`: the same for Node: compressed requests, and nothing lost when the process ends by itself
 * - `script.ts`: what a `<script>` tag starts
 */
export { Eye, type Options, type Spool, type Stats } from "./client.js";
export { EyePage, type PageOptions } from "./page.js";
