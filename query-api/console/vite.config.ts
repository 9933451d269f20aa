import { defineConfig } from 'vite'

// `npm run dev` answers API calls from the query API named by EYE_QUERY_URL.
const api = (globalThis as { process?: { env: Record<string, string | undefined> } }).process?.env.EYE_QUERY_URL ?? 'http://127.0.0.1:8081'

export default defineConfig({
  server: { proxy: { '/v1': api, '/openapi.json': api, '/docs': api } },
  build: {
    target: 'es2022',
    // The content security policy allows no inline script and no data: beyond images.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    // ECharts is the one large file, loaded when the first chart is drawn.
    chunkSizeWarningLimit: 700,
    rolldownOptions: {
      output: {
        // Two files for a first paint, the shell with all shared parts and the page, rather than a dozen small ones.
        codeSplitting: { groups: [{ name: 'console', test: /node_modules\/preact|src\/(ui|style|charts\/chart|[a-z-]+\.tsx?)/ }] },
      },
    },
  },
})
