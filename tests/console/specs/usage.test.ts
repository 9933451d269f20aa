import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { Console, launch, number } from '../browser.ts'
import { api, rows } from '../pipeline.ts'

interface Use {
  category: string
  name: string
  events: number
  sessions: number
  first_seen: string
  last_seen: string
}

describe('Usage', () => {
  let browser: Browser
  before(async () => void (browser = await launch()))
  after(() => browser.close())

  const ranking = async (page: Console, caption: string) => (await page.table(caption)).map(([feature, figure]) => [feature, number(figure)])

  const tile = async (page: Console, name: string) => number(await page.page.locator(`[data-test="${name}"]`).innerText())

  for (const by of ['events', 'sessions'] as const)
    test(`most, rarely and never used, by ${by}`, async () => {
      const page = await Console.open(browser, by === 'events' ? 'usage' : 'usage?by=sessions')
      const [most, least, never] = await Promise.all([api(`/v1/features?by=${by}`), api(`/v1/features?order=least&by=${by}`), api('/v1/features/unused')])
      const expected = (features: Use[]) => features.slice(0, 8).map((use) => [`${use.category} ${use.name}`, use[by]])
      assert.ok(most.features.length > 8)
      assert.deepEqual(await ranking(page, 'Most used features'), expected(most.features))
      assert.deepEqual(await ranking(page, 'Least used features'), expected(least.features))
      const unused = await page.table('Declared features that were never used')
      assert.deepEqual(unused.map(([feature]) => feature), never.features.map(({ category, name }: Use) => `${category} ${name}`))
      await page.close()
    })

  test('totals and all features', async () => {
    const page = await Console.open(browser, 'usage')
    const { features } = (await api('/v1/features')) as { features: Use[] }
    assert.equal(await tile(page, 'used'), features.length)
    const table = await page.table('All used features')
    assert.deepEqual(
      table.map(([feature, events, , sessions, , first, last]) => [feature, number(events), number(sessions), first, last]),
      features.map(({ category, name, events, sessions, first_seen, last_seen }) => [`${category} ${name}`, events, sessions, plain(first_seen), plain(last_seen)]),
    )
    await page.close()
  })

  for (const [query, where] of [
    ['', '1'],
    ['category=cart', "category = 'cart'"],
    ['name=cart', "name = 'cart'"],
    ['app=demo&from=2024-04-01&category=cart', "app = 'demo' AND timestamp >= '2024-04-01' AND category = 'cart'"],
    ['from=2024-04-01T10:00:00Z&to=2024-04-02', "timestamp >= '2024-04-01 10:00:00' AND timestamp < '2024-04-02'"],
  ])
    test(`events and sessions in total, ${query || 'of all'}`, async () => {
      const page = await Console.open(browser, `usage?${query}`)
      const [all] = await rows(`SELECT count() AS events, uniqExact(session_id) AS sessions FROM eye.events WHERE ${where}`)
      assert.ok(Number(all!.sessions) > 0)
      assert.deepEqual({ events: await tile(page, 'events'), sessions: await tile(page, 'sessions') }, all)
      await page.close()
    })

  test('the table sorts by its headers', async () => {
    const page = await Console.open(browser, 'usage')
    const table = page.page.getByRole('region', { name: 'All used features' })
    await table.getByRole('button', { name: 'Sessions' }).click()
    const sessions = (await page.table('All used features')).map(([, , , sessions]) => number(sessions))
    assert.deepEqual(sessions, [...sessions].sort((a, b) => b - a))
    assert.equal(await table.getByRole('columnheader', { name: 'Sessions' }).getAttribute('aria-sort'), 'descending')
    await page.close()
  })

  for (const interval of ['day', 'week', 'month'])
    test(`over time by ${interval}`, async () => {
      const page = await Console.open(browser, `usage?from=2024-02-01&to=2024-05-01&interval=${interval}`)
      const { series } = await api(`/v1/usage?from=2024-02-01&to=2024-05-01&interval=${interval}`)
      assert.equal(await page.page.locator('.over-time svg').count(), 1)
      await page.panel('Over time').getByRole('button', { name: 'Table' }).click()
      const table = await page.table(`Events and sessions by ${interval}`)
      assert.ok(series.length >= 3)
      assert.deepEqual(
        table.map(([start, events, sessions]) => [start, number(events), number(sessions)]),
        series.map(({ start, events, sessions }: Use & { start: string }) => [start.slice(0, interval === 'month' ? 7 : 10), events, sessions]),
      )
      await page.close()
    })

  test('an old series keeps its interval until the new one is there', async () => {
    const page = await Console.open(browser, 'usage?from=2024-02-01&to=2024-05-01&interval=month')
    await page.panel('Over time').getByRole('button', { name: 'Table' }).click()
    let answer = () => {}
    const held = new Promise<void>((resolve) => (answer = resolve))
    await page.page.route('**/v1/usage?interval=day*', async (route) => (await held, route.continue()))
    await page.panel('Over time').getByRole('combobox').selectOption('day')
    await page.page.locator('.over-time .stale').waitFor()
    await page.page.getByRole('button', { name: '2024-03', exact: true }).click({ timeout: 5_000 })
    assert.equal(page.params.get('to'), '2024-04-01T00:00:00Z')
    answer()
    await page.settled()
    await page.close()
  })

  test('a range of more minutes than can be drawn', async () => {
    const page = await Console.open(browser, 'usage?from=2024-03-01&to=2024-03-11&interval=minute')
    await page.panel('Over time').getByText('14,400 minutes are too many to draw').waitFor()
    assert.equal(await page.page.locator('.over-time svg').count(), 0)
    await page.panel('Over time').getByRole('button', { name: 'Table' }).click()
    const rows = page.page.getByRole('region', { name: 'Events and sessions by minute' }).locator('tbody tr')
    assert.equal(await rows.count(), 50)
    await page.press('Show 2,000 more of 14,400 rows')
    assert.equal(await rows.count(), 2_050)
    await page.panel('Over time').getByRole('button', { name: 'Table' }).click()
    await page.press('By hour')
    assert.equal(page.params.get('interval'), 'hour')
    assert.equal(await page.page.locator('.over-time svg').count(), 1)
    await page.close()
  })

  test('a bucket leads into its own range', async () => {
    const page = await Console.open(browser, 'usage?interval=month')
    await page.panel('Over time').getByRole('button', { name: 'Table' }).click()
    await page.press('2024-04')
    assert.equal(page.params.get('from'), '2024-04-01T00:00:00.000000Z')
    assert.equal(page.params.get('to'), '2024-05-01T00:00:00Z')
    const { features } = await api('/v1/features?from=2024-04-01&to=2024-05-01')
    assert.deepEqual(await ranking(page, 'Most used features'), features.slice(0, 8).map((use: Use) => [`${use.category} ${use.name}`, use.events]))
    await page.close()
  })

  test('a range that is mostly empty leads to its events', async () => {
    const page = await Console.open(browser, 'usage?from=2014-01-01&to=2025-01-01')
    const { series } = await api('/v1/usage?from=2014-01-01&to=2025-01-01&interval=month')
    const used = series.filter(({ events }: Use) => events)
    assert.ok(used.length * 2 < series.length)
    await page.press(/^Look at 20/)
    assert.ok(page.params.get('from')! >= used[0].start)
    assert.ok(page.params.get('to')! <= '2025-01-01')
    const closer = await api(`/v1/usage?from=${page.params.get('from')}&to=${page.params.get('to')}&interval=month`)
    const events = (series: Use[]) => series.reduce((sum, { events }) => sum + events, 0)
    assert.ok(events(closer.series) >= events(series) * 0.999)
    assert.equal(await page.page.getByRole('button', { name: /^Look at 20/ }).count(), 0)
    await page.close()
  })

  test('use by application', async () => {
    const page = await Console.open(browser, 'usage')
    const table = await page.table('Use by application')
    assert.ok(table.length > 0)
    for (const [app, events] of table) {
      const { features } = (await api(`/v1/features?app=${encodeURIComponent(app!)}`)) as { features: Use[] }
      assert.equal(number(events), features.reduce((sum, use) => sum + use.events, 0), app)
    }
    await page.close()
  })
})

const plain = (time: string) => time.slice(0, 19).replace('T', ' ')
