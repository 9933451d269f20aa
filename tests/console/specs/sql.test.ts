import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { Console, launch } from '../browser.ts'
import { api, eventually, QUERY, rows } from '../pipeline.ts'

/* What the console gives to copy is run: the SQL in ClickHouse, the curl in a shell. */
describe('Copied SQL and curl', () => {
  let browser: Browser
  before(async () => {
    browser = await launch()
    // Answers about use and order are a few seconds behind the tables that SQL reads.
    const behind = async () => {
      const [{ as_of, lag, sequences_lag }, use] = await Promise.all([api('/v1/health'), api('/v1/features')])
      return { lag, sequences_lag, positions: JSON.stringify(as_of.positions), use: JSON.stringify(use.as_of.positions) }
    }
    await eventually('the answers include all', behind, ({ lag, sequences_lag, positions, use }) => lag === 0 && sequences_lag === 0 && positions === use)
  })
  after(() => browser.close())

  type Row = any
  const pair = (feature: Row): string => (Array.isArray(feature) ? feature.join(' ') : `${feature.category} ${feature.name}`)
  const RANGE = 'from=2024-03-01&to=2024-05-01&app=demo'
  const body = { from: '2024-03-01', to: '2024-05-01', app: 'demo' }
  const STEPS = ['browse/product_view', 'cart/add_to_cart', 'checkout/purchase'].map((step) => ({ category: step.split('/')[0]!, name: step.split('/')[1]! }))

  const CASES: [string, string | RegExp, (row: Row) => unknown, () => Promise<Row[]>, (item: Row) => unknown][] = [
    [`usage?${RANGE}`, 'Most used', (r) => [r.category, r.name, r.events, r.sessions], async () => (await api(`/v1/features?${RANGE}`)).features, (f) => [f.category, f.name, f.events, f.sessions]],
    [`usage?${RANGE}`, 'Rarely used', (r) => [r.name, r.events], async () => (await api(`/v1/features?order=least&limit=8&${RANGE}`)).features, (f) => [f.name, f.events]],
    [`usage?${RANGE}`, 'Never used', (r) => [r.category, r.name, seconds(r.last_seen)], async () => (await api(`/v1/features/unused?${RANGE}`)).features, (f) => [f.category, f.name, seconds(f.last_seen)]],
    // Of all times by an app that sends nothing, as other tests may use every type; before the demo; a few hours of one
    // category, so that the last use is another day's.
    ...['?app=nobody', '?to=2024-03-01', '?from=2024-03-04&to=2024-03-04T03:00:00Z&category=cart', '?to=2024-03-01&app=demo'].map((query): [string, string, (row: Row) => unknown, () => Promise<Row[]>, (item: Row) => unknown] => [
      `usage${query}`, 'Never used', (r) => [r.category, r.name, seconds(r.last_seen)], async () => (await api(`/v1/features/unused${query}`)).features, (f) => [f.category, f.name, seconds(f.last_seen)],
    ]),
    ['event-types', 'Declared event types', (r) => [r.category, r.name, r.events, r.sessions, seconds(r.last_seen)], async () => (await api('/v1/event-types')).event_types, (t) => [t.category, t.name, t.events, t.sessions, seconds(t.last_seen)]],
    ['health', 'Lag', (r) => [r.partition, r.log_end, r.position, r.sequences_position, r.lag], async () => (await api('/v1/health')).partitions, (p) => [p.partition, p.log_end, p.position, p.sequences_position, p.lag]],
    [`usage?${RANGE}&interval=day`, 'Over time', (r) => [r.events, r.sessions], async () => (await api(`/v1/usage?${RANGE}&interval=day`)).series, (b) => [b.events, b.sessions]],
    // Its ends are empty, and within a bucket.
    ...['day', 'week', 'month'].map((interval): [string, string, (row: Row) => unknown, () => Promise<Row[]>, (item: Row) => unknown] => {
      const query = `from=2023-10-20T11:00:00Z&to=2024-11-05T10:30:00Z&app=demo&category=cart&interval=${interval}`
      return [`usage?${query}`, 'Over time', (r) => [String(r.start).slice(0, 10), r.events], async () => (await api(`/v1/usage?${query}`)).series, (b) => [b.start.slice(0, 10), b.events]]
    }),
    [`usage?${RANGE}&interval=week`, 'Over time', (r) => [String(r.start).slice(0, 10), r.events], async () => (await api(`/v1/usage?${RANGE}&interval=week`)).series, (b) => [b.start.slice(0, 10), b.events]],
    [`order/transitions?${RANGE}`, 'Transitions', (r) => [r.from_category, r.from_name, r.to_category, r.to_name, r.count, r.sessions, r.median_gap_ms], async () => (await api(`/v1/order/transitions?${RANGE}&limit=10000`)).transitions, (t) => [t.from.category, t.from.name, t.to.category, t.to.name, t.count, t.sessions, t.median_gap_ms]],
    [`order/precedence?${RANGE}`, 'Which comes first', (r) => [pair(r.first), pair(r.then), r.sessions, r.both], async () => (await api(`/v1/order/precedence?${RANGE}&limit=10000`)).pairs, (p) => [pair(p.first), pair(p.then), p.sessions, p.both]],
    [`order/paths?${RANGE}&length=4`, 'Most frequent paths', (r) => [r.steps.map(pair), r.count, r.sessions], async () => (await api('/v1/order/paths', { ...body, length: 4, limit: 20 })).paths, (p) => [p.steps.map(pair), p.count, p.sessions]],
    [`order/paths?${RANGE}&whole=yes`, 'Most frequent paths', (r) => [r.steps.map(pair), r.count], async () => (await api('/v1/order/paths', { ...body, whole_session: true, limit: 20 })).paths, (p) => [p.steps.map(pair), p.count]],
    ...(['start', 'end'] as const).map((place): [string, string | RegExp, (row: Row) => unknown, () => Promise<Row[]>, (item: Row) => unknown] => [
      `order/flow?${RANGE}&${place}=cart/add_to_cart`,
      /^Flow /,
      (r) => [r.step, pair(r.feature), pair(r.after ?? r.before).trim(), r.count],
      async () => (await api('/v1/order/flow', { ...body, [place]: STEPS[1], length: 4, top: 50 })).links,
      (link) => [link.column, pair(link.from), link.to.kind === 'ended' ? '' : pair(link.to), link.count],
    ]),
    [`order/flow?${RANGE}`, 'Sessions begin with', (r) => [r.name, r.sessions], async () => (await api(`/v1/order/entries?${RANGE}`)).entries, (e) => [e.name, e.sessions]],
    [`order/flow?${RANGE}`, 'Sessions end with', (r) => [r.name, r.sessions], async () => (await api(`/v1/order/exits?${RANGE}`)).exits, (e) => [e.name, e.sessions]],
    ['order/retention?from=2024-03-01&to=2024-05-01', 'Retention', (r) => [String(r.start).slice(0, 10), r.later, r.sessions], async () => (await api('/v1/retention?interval=week&periods=12&from=2024-03-01&to=2024-05-01')).cohorts.flatMap((c: Row) => c.returned.map((back: number | null, later: number) => [c.start.slice(0, 10), later, back]).filter(([, , back]: Row) => back)), (cell) => cell],
    ...(['', '&window=30m', '&window=30m&begin=first', '&exclude=browse/search'] as const).map((more): [string, string, (row: Row) => unknown, () => Promise<Row[]>, (item: Row) => unknown] => [
      `order/funnel?${RANGE}&${STEPS.map(({ category, name }) => `step=${category}/${name}`).join('&')}${more}`,
      'Funnel',
      (r) => [r.category, r.name, r.sessions, r.median_time_ms],
      async () =>
        (
          await api('/v1/order/funnel', {
            ...body,
            steps: STEPS,
            ...(more.includes('window') && { window: '30m' }),
            ...(more.includes('first') && { start: 'first' }),
            ...(more.includes('exclude') && { exclude: [{ category: 'browse', name: 'search' }] }),
          })
        ).steps,
      (s) => [s.category, s.name, s.sessions, s.median_time_ms],
    ]),
    [`events?${RANGE}`, 'Events', (r) => r.event_id, async () => (await api(`/v1/events?${RANGE}&limit=50`)).events, (e) => e.event_id],
    ['problems', 'Rejected records', (r) => `${r.partition}:${r.offset}`, async () => (await api('/v1/rejections?limit=50')).rejections, (r) => `${r.partition}:${r.offset}`],
    ['problems', 'Rejections', (r) => [r.reason, r.app, r.category, r.name, r.records], async () => (await api('/v1/rejections/summary')).summary, (l) => [l.reason, l.app, l.category, l.name, l.records]],
  ]

  for (const [address, title, ofRow, ask, ofItem] of CASES)
    test(`${title}: ${address}`, async () => {
      const page = await Console.open(browser, address)
      const found = (await rows(await page.code(title, 'SQL'))).map(ofRow)
      const answered = (await ask()).map(ofItem)
      assert.ok(answered.length > 0)
      assert.deepEqual(sorted(found), sorted(answered))
      await page.close()
    })

  // But the live stream: its verdicts go by, no statement gives them.
  test('every panel with a question has its SQL and its curl', async () => {
    const page = await Console.open(browser, 'usage')
    const pages = await page.page.locator('nav a[href^="#/"]').evaluateAll((links) => links.map((link) => link.getAttribute('href')!.slice(2)))
    assert.ok(pages.length > 10)
    const { events } = await api('/v1/events?limit=1')
    const without: string[] = []
    for (const address of [...pages.filter((page) => page !== 'live'), `sessions/${events[0].session_id}`, `problems?event=${events[0].event_id}`, `order/funnel?${STEPS.map(({ category, name }) => `step=${category}/${name}`).join('&')}`]) {
      await page.visit(address)
      const panels = await page.page.locator('section.panel').evaluateAll((panels) =>
        panels.map((panel) => ({ title: panel.querySelector('h2')?.textContent ?? '', buttons: [...panel.querySelectorAll('.tools button')].map((button) => button.textContent) })),
      )
      for (const { title, buttons } of panels) if (buttons.includes('SQL') !== buttons.includes('curl')) without.push(`${address.split('?')[0]}: ${title}`)
    }
    assert.deepEqual(without, [])
    await page.close()
  })

  test('curl gives the same answer', async () => {
    const { execFileSync } = await import('node:child_process')
    for (const [address, title, part] of [[`usage?${RANGE}`, 'Most used', 'features'], [`order/paths?${RANGE}`, 'Most frequent paths', 'paths']] as const) {
      const page = await Console.open(browser, address)
      const command = await page.code(title, 'curl')
      assert.ok(command.includes(QUERY))
      const answer = JSON.parse(execFileSync('bash', ['-c', command], { encoding: 'utf8' }))
      assert.ok(answer[part].length > 0)
      await page.close()
    }
  })
})

/** A time as the API or ClickHouse writes it, to compare them. */
const seconds = (time: string | null) => time && Date.parse(`${time.replace(' ', 'T').replace('Z', '')}Z`) / 1000

// Equal counts may come in another order where the question leaves it open.
const sorted = (list: unknown[]) => list.map((one) => JSON.stringify(one)).sort()
