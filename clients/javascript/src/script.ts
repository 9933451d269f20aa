/**
 * For a script tag, which needs no code of the page's own:
 *
 *     <script src="eye.min.js" data-url="https://eye.example.com" data-key="..." data-spool defer></script>
 *
 * `window.eye` is the page's {@link EyePage}.
 */
import { EyePage } from "./page.js";

try {
  const { url, key, spool } = (document.currentScript as HTMLScriptElement).dataset;
  (window as { eye?: EyePage }).eye = new EyePage({
    url: url ?? "",
    key: key ?? "",
    spool: spool !== undefined,
  });
} catch (error) {
  console.warn("the eye:", error);
}
