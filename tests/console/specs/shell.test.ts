import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { Console, launch, number } from '../browser.ts'
import { api } from '../pipeline.ts'

describe('Address, filters and states', () => {
  let browser: Browser
  before(async () => void (browser = await launch()))
  after(() => browser.close())

  const events = async (page: Console) => number(await page.page.locator('[data-test="events"]').innerText())
  const expected = async (query: string) => ((await api(`/v1/features?${query}`)).features as { events: number }[]).reduce((sum, { events }) => sum + events, 0)

  test('each filter is in the address, and the back button takes it off again', async () => {
    const page = await Console.open(browser, 'usage')
    const all = await events(page)
    assert.equal(all, await expected(''))
    await page.choose('Category', 'cart')
    assert.equal(page.params.get('category'), 'cart')
    assert.equal(await events(page), await expected('category=cart'))
    await page.choose('Name', 'cart')
    assert.equal(await events(page), await expected('category=cart&name=cart'))
    await page.choose('Application', 'demo')
    assert.equal(await events(page), await expected('category=cart&name=cart&app=demo'))
    for (let i = 0; i < 3; i++) await page.page.goBack()
    await page.settled()
    assert.equal(await events(page), all)
    await page.close()
  })

  test('a time range by hand, taken along to the next page', async () => {
    const page = await Console.open(browser, 'usage')
    await page.choose('Time range (UTC)', 'custom')
    for (const [label, value] of [['From', '2024-04-01T00:00'], ['To (exclusive)', '2024-05-01T00:00']] as const) {
      await page.page.getByLabel(label, { exact: true }).fill(value)
      await page.page.keyboard.press('Enter')
      await page.settled()
    }
    assert.equal(await events(page), await expected('from=2024-04-01&to=2024-05-01'))
    await page.page.getByRole('link', { name: 'Transitions' }).click()
    await page.settled()
    assert.equal(page.params.get('from'), '2024-04-01T00:00:00Z')
    assert.equal(page.params.get('to'), '2024-05-01T00:00:00Z')
    await page.close()
  })

  test('an address can be shared', async () => {
    const page = await Console.open(browser, 'usage?from=2024-04-01&to=2024-05-01&category=checkout')
    assert.equal(await events(page), await expected('from=2024-04-01&to=2024-05-01&category=checkout'))
    assert.equal(await page.select('Category').inputValue(), 'checkout')
    await page.press('Clear')
    assert.equal(await events(page), await expected(''))
    await page.close()
  })

  test('a range without events says where they are', async () => {
    const page = await Console.open(browser, 'usage?from=2000-01-01&to=2000-02-01')
    await page.page.getByText(/There are events from \d{4}-\d\d-\d\d to/).first().waitFor()
    await page.panel('Never used').getByText('Not in this time range').waitFor()
    await page.press('Show all time')
    assert.equal(page.params.has('from'), false)
    assert.equal(await page.page.getByText('Not in this time range').count(), 0)
    assert.ok((await events(page)) > 0)
    await page.close()
  })

  test('the theme: the system’s, then as chosen, and kept', async () => {
    const page = await Console.open(browser, 'usage', { colorScheme: 'dark' })
    const theme = () => page.page.evaluate(() => [document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor])
    assert.deepEqual(await theme(), ['dark', 'rgb(15, 20, 25)'])
    await page.press('Theme: auto')
    assert.deepEqual(await theme(), ['light', 'rgb(245, 246, 248)'])
    await page.page.reload()
    await page.settled()
    assert.equal((await theme())[0], 'light')
    await page.close()
  })

  test('what the API does not understand is not asked again', async () => {
    const page = await Console.open(browser, 'sessions/nonsense')
    await page.page.getByRole('alert').getByText('is not a UUID').waitFor()
    assert.equal(await page.page.getByRole('button', { name: 'Try again' }).count(), 0)
    assert.ok(page.complaints.splice(0).every((complaint) => complaint.includes('400')))
    await page.close()
  })

  test('a query API that does not answer is said so, and asked again', async () => {
    const page = await Console.open(browser, 'order/transitions')
    await page.page.route('**/v1/order/transitions**', (route) => route.abort())
    await page.press('Refresh')
    await page.page.getByRole('alert').getByText('The query API does not answer').waitFor()
    await page.page.unroute('**/v1/order/transitions**')
    await page.press('Try again')
    assert.ok((await page.page.locator('table.matrix').count()) === 1)
    assert.ok(page.complaints.splice(0).every((complaint) => complaint.includes('net::ERR_FAILED')))
    await page.close()
  })

  test('the API’s own words are shown for what it refuses', async () => {
    const page = await Console.open(browser, 'usage?from=2024-05-01&to=2024-04-01')
    await page.page.getByRole('alert').getByText('must not be before').first().waitFor()
    assert.ok(page.complaints.splice(0).every((complaint) => complaint.includes('400')))
    await page.close()
  })

  // The local pipeline reads without keys: the 401 is put before it.
  test('a reader key is asked for, sent, kept in the tab only, and in no address', async () => {
    const context = await browser.newContext()
    const page = await context.newPage()
    const { QUERY } = await import('../pipeline.ts')
    const keys = new Set<string | undefined>()
    await page.route('**/v1/**', async (route) => {
      const { authorization } = route.request().headers()
      keys.add(authorization)
      if (authorization === 'Bearer reader-key') return route.continue()
      await route.fulfill({ status: 401, contentType: 'application/problem+json', body: JSON.stringify({ status: 401, code: 'unknown_key', detail: 'send a key' }) })
    })
    await page.goto(`${QUERY}/#/usage`)
    await page.getByLabel('Reader key').fill('reader-key')
    await page.keyboard.press('Enter')
    await page.getByRole('region', { name: 'Most used features' }).waitFor()
    assert.deepEqual([...keys].sort(), ['Bearer reader-key', undefined].sort())
    assert.equal(page.url().includes('reader-key'), false)
    const kept = await page.evaluate(() => [JSON.stringify(sessionStorage).includes('reader-key'), JSON.stringify(localStorage).includes('reader-key')])
    assert.deepEqual(kept, [true, false])
    await page.getByRole('button', { name: 'Forget key' }).click()
    await page.getByLabel('Reader key').waitFor()
    await context.close()
  })

  test('the keyboard leads past the navigation and to each page', async () => {
    const page = await Console.open(browser, 'usage')
    await page.page.keyboard.press('Tab')
    assert.equal(await page.page.evaluate(() => document.activeElement?.textContent?.trim()), 'Skip to the content')
    await page.page.keyboard.press('Enter')
    assert.equal(await page.page.evaluate(() => document.activeElement?.tagName), 'H1')
    await page.page.getByRole('link', { name: 'Paths', exact: true }).focus()
    await page.page.keyboard.press('Enter')
    await page.settled()
    assert.equal(await page.page.evaluate(() => document.activeElement?.textContent), 'Paths')
    assert.equal(await page.page.title(), 'Paths · The Eye')
    await page.close()
  })

  test('a first visit loads little: the bytes of its files, gzipped', async () => {
    const page = await browser.newPage()
    const { gzipSync } = await import('node:zlib')
    const { QUERY } = await import('../pipeline.ts')
    const sizes: Record<string, number> = {}
    const bodies: Promise<void>[] = []
    page.on('response', (response) => {
      const { pathname } = new URL(response.url())
      if (!pathname.startsWith('/v1/')) bodies.push(response.body().then((body) => void (sizes[pathname] = gzipSync(body).length)))
    })
    await page.goto(`${QUERY}/`)
    await page.getByRole('region', { name: 'Most used features' }).waitFor()
    await page.waitForLoadState('networkidle')
    await Promise.all(bodies)
    const charts = Object.entries(sizes).filter(([name]) => name.includes('echarts'))
    const first = Object.entries(sizes).filter(([name]) => !name.includes('echarts'))
    const sum = (list: [string, number][]) => list.reduce((sum, [, size]) => sum + size, 0)
    console.log(`first paint ${sum(first)} bytes in ${first.length} files, charts ${sum(charts)} bytes afterwards (gzipped)`)
    assert.ok(first.length > 2 && charts.length === 1)
    assert.ok(sum(first) < 40_000, JSON.stringify(first))
    await page.close()
  })
})
