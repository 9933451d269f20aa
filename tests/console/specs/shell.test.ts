import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { Console, launch, number } from '../browser.ts'
import { api, eventually, QUERY, send } from '../pipeline.ts'

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

  test('each filter that applies is there to be taken away', async () => {
    const chips = (page: Console) => page.page.locator('.chips > span:not(.idle) .chip b').evaluateAll((values) => values.map((value) => value.textContent))
    const page = await Console.open(browser, 'usage?from=2024-04-01&to=2024-05-01&category=cart&app=demo')
    assert.deepEqual(await chips(page), ['2024-04-01 00:00 UTC', '2024-05-01 00:00 UTC', 'demo', 'cart'])
    await page.press('Category: cart')
    assert.equal(await events(page), await expected('from=2024-04-01&to=2024-05-01&app=demo'))
    assert.deepEqual(await chips(page), ['2024-04-01 00:00 UTC', '2024-05-01 00:00 UTC', 'demo'])

    // Those that one page alone has, too.
    await page.visit('problems?reason=data_invalid')
    await page.press('Reason: data_invalid')
    assert.equal(page.params.has('reason'), false)
    await page.visit(`events?session_id=${randomUUID()}&cursor=`)
    assert.equal((await chips(page)).length, 1)
    await page.press(/^Session: /)
    assert.ok((await page.page.locator('tr[data-event]').count()) > 0)
    await page.close()
  })

  test('what can’t be read in the address is said', async () => {
    for (const [address, value] of [['usage?from=garbage', 'garbage'], ['order/paths?last=2w', '2w'], ['events?to=2024-13-45', '2024-13-45'], ['problems?reason=nonsense', 'nonsense'], ['order/paths?length=99', '99'], ['usage?catgory=cart', 'cart']] as const) {
      const page = await Console.open(browser, address)
      const said = page.page.locator('.chips').getByRole('alert')
      assert.match(await said.innerText(), /^Not understood, and left out:/)
      await said.getByRole('button', { name: value }).click()
      await page.settled()
      assert.equal(await page.page.locator('.chips').count(), 0)
      await page.close()
    }
  })

  test('a page that comes too late changes nothing of the one that is there', async () => {
    const page = await Console.open(browser, 'usage?catgory=cart')
    let answer = () => {}
    const held = new Promise<void>((resolve) => (answer = resolve))
    await page.page.route('**/assets/paths-*.js', async (route) => (await held, route.continue()))
    const late = page.page.waitForRequest(/\/assets\/paths-/)
    await page.page.evaluate(() => (location.hash = '#/order/paths'))
    await page.page.locator('.loading').waitFor()
    await page.visit('usage?catgory=cart')
    answer()
    await page.page.evaluate(`import('${(await late).url()}').then(() => new Promise(requestAnimationFrame))`)
    await page.page.locator('.chips').getByRole('alert').getByText('cart').waitFor({ timeout: 5_000 })
    await page.close()
  })

  test('figures of one question are never those of another one', async () => {
    const page = await Console.open(browser, 'usage')
    const tile = page.page.locator('.tiles > div').filter({ has: page.page.locator('[data-test="events"]') })
    const all = await events(page)
    let answer = () => {}
    const held = new Promise<void>((resolve) => (answer = resolve))
    await page.page.route('**/v1/features?*category=cart*', async (route) => {
      await held
      await route.continue()
    })
    await page.select('Category').selectOption('cart')
    await tile.locator('.stale').waitFor()
    assert.equal(await tile.getAttribute('aria-busy'), 'true')
    answer()
    await page.settled()
    assert.equal(await tile.locator('.stale').count(), 0)
    assert.equal(await events(page), await expected('category=cart'))
    assert.notEqual(await events(page), all)

    // Nor is an error an answer, or a wait.
    await page.page.route('**/v1/features?*', (route) => route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"status":503,"code":"busy","detail":"later"}' }))
    await page.select('Category').selectOption('checkout')
    await tile.getByText('no answer').waitFor()
    assert.equal(await tile.locator('dd').evaluate((dd) => dd.firstChild?.textContent), '–')
    await page.complained('503')
    await page.close()
  })

  test('what was answered stays when the next answer fails, and is said to be from before', async () => {
    const page = await Console.open(browser, 'usage')
    const all = await events(page)
    await page.page.route('**/v1/**', (route) => route.abort())
    await page.press('Refresh')
    await page.panel('Most used').getByRole('alert').getByText('Below is the answer from before').waitFor()
    assert.ok((await page.table('Most used features')).length > 0)
    await page.page.locator('[data-test="events"]').getByText('from before').waitFor()
    assert.equal(number(await page.page.locator('[data-test="events"]').evaluate((dd) => dd.firstChild?.textContent ?? '')), all)
    await page.complained('net::ERR_FAILED')
    await page.close()
  })

  test('figures of different moments are not passed off as of one', async () => {
    const page = await Console.open(browser, 'usage')
    const before = (await api('/v1/apps')).as_of.time as string
    await send([{ session_id: randomUUID(), category: 'page interaction', name: 'pageview', data: { host: 'www.example.com', path: '/' }, timestamp: '2024-03-01 10:00:00' }])
    await eventually('answers about use include it', () => api('/v1/features'), ({ as_of }) => as_of.time > before)
    await page.press('Sessions')
    const times = await page.page.locator('.freshness time').evaluateAll((times) => times.map((time) => (time as HTMLTimeElement).dateTime))
    assert.equal(times.length, 2)
    assert.ok(times[0]! <= before && times[1]! > before, `${times}, ${before}`)
    await page.page.getByText('some figures are newer').waitFor()
    await page.close()
  })

  test('a panel that can’t be drawn leaves the others, and comes back', async () => {
    const page = await Console.open(browser, 'usage')
    await page.page.route('**/v1/features/unused*', (route) => route.fulfill({ contentType: 'application/json', body: '{"features":[null],"declared":[]}' }))
    await page.press('Refresh')
    await page.panel('Never used').getByRole('alert').getByText('Never used can\'t be shown').waitFor()
    assert.ok((await page.table('Most used features')).length > 0)
    await page.choose('Category', 'cart')
    assert.equal(await events(page), await expected('category=cart'))
    await page.page.unroute('**/v1/features/unused*')
    await page.press('Refresh')
    assert.equal(await page.page.getByRole('alert').count(), 0)
    await page.visit('usage')
    assert.equal((await page.table('Declared features that were never used')).length, (await api('/v1/features/unused')).features.length)
    assert.ok(page.complaints.splice(0).length > 0)
    await page.close()
  })

  test('an answer that is not the API’s is said so', async () => {
    const page = await Console.open(browser, 'order/transitions')
    await page.page.route('**/v1/order/transitions*', (route) => route.fulfill({ contentType: 'text/html', body: '<html>Sign in</html>' }))
    await page.choose('Application', 'demo')
    await page.page.getByRole('alert').getByText('The answer is not from the query API').waitFor()
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
    await page.complained('400')
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
    await page.complained('net::ERR_FAILED')
    await page.close()
  })

  test('the API’s own words are shown for what it refuses', async () => {
    const page = await Console.open(browser, 'usage?from=2024-05-01&to=2024-04-01')
    await page.page.getByRole('alert').getByText('must not be before').first().waitFor()
    await page.complained('400')
    await page.close()
  })

  // The local pipeline reads without keys: the 401 is put before it.
  test('a reader key is asked for, sent, kept in the tab only, and in no address', async () => {
    const context = await browser.newContext()
    const page = await context.newPage()
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
    const sizes: Record<string, number> = {}
    const bodies: Promise<void>[] = []
    page.on('response', (response) => {
      const { pathname } = new URL(response.url())
      if (!pathname.startsWith('/v1/')) bodies.push(response.body().then((body) => void (sizes[pathname] = gzipSync(body).length)))
    })
    const drawing = page.waitForResponse((response) => response.url().includes('echarts'))
    await page.goto(`${QUERY}/`)
    await page.getByRole('region', { name: 'Most used features' }).waitFor()
    await drawing
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
