import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { Console, launch, number } from '../browser.ts'
import { api, eventually, send } from '../pipeline.ts'

interface Feature {
  category: string
  name: string
}
const text = ({ category, name }: Feature) => `${category} ${name}`
/** With a filter an end is not that of the session. */
const ENDED = /^(session (ends|begins)|nothing (more|before) that passes the filters)$/

describe('Order', () => {
  let browser: Browser
  before(async () => void (browser = await launch()))
  after(() => browser.close())

  test('transitions: matrix and table', async () => {
    const page = await Console.open(browser, 'order/transitions?top=100')
    const { transitions } = await api('/v1/order/transitions?limit=10000')
    const cells = await page.page.locator('table.matrix').evaluate((matrix) => {
      const columns = [...matrix.querySelectorAll('thead th')].slice(1).map((th) => th.getAttribute('title')!.replace(': ', ' '))
      return [...matrix.querySelectorAll('tbody tr')].flatMap((row) =>
        [...row.querySelectorAll('td')].map((cell, i) => [(row.querySelector('th') as HTMLElement).innerText.replace(/\s+/g, ' ').trim(), columns[i]!, cell.innerText] as const).filter(([, , figure]) => figure),
      )
    })
    const sorted = (list: (readonly [string, string, number])[]) => list.map((one) => one.join(' ')).sort()
    assert.deepEqual(
      sorted(cells.map(([from, to, figure]) => [from, to, number(figure)])),
      sorted(transitions.map((t: { from: Feature; to: Feature; count: number }) => [text(t.from), text(t.to), t.count])),
    )
    await page.panel('Transitions').getByRole('button', { name: 'Table' }).click()
    const table = await page.table('Transitions between features')
    assert.deepEqual(
      table.map(([from, to, times, sessions]) => [from, to, number(times), number(sessions)]),
      transitions.map((t: { from: Feature; to: Feature; count: number; sessions: number }) => [text(t.from), text(t.to), t.count, t.sessions]),
    )
    await page.close()
  })

  test('a feature looked at on Usage narrows no page on order, and is still there on the way back', async () => {
    const page = await Console.open(browser, 'usage')
    await page.page.getByRole('region', { name: 'All used features' }).getByRole('link', { name: 'cart add_to_cart' }).click()
    await page.settled()
    await page.page.getByRole('link', { name: 'Transitions', exact: true }).click()
    await page.settled()
    const { transitions } = await api('/v1/order/transitions?limit=10000')
    await page.panel('Transitions').getByRole('button', { name: 'Table' }).click()
    assert.equal((await page.table('Transitions between features')).length, transitions.length)
    const idle = page.page.locator('.chips .idle')
    assert.match(await idle.innerText(), /^Not used on this page:/)
    assert.deepEqual(await idle.getByRole('button').evaluateAll((chips) => chips.map((chip) => chip.querySelector('b')!.textContent)), ['cart', 'add_to_cart'])
    await idle.getByRole('button', { name: 'Name: add_to_cart' }).click()
    assert.equal(page.params.has('name'), false)
    await page.page.getByRole('link', { name: 'Usage', exact: true }).click()
    await page.settled()
    assert.equal(await page.select('Category').inputValue(), 'cart')
    await page.close()
  })

  for (const [measure, heading] of [['share', 'Share of next'], ['sessions', 'Sessions'], ['gap', 'Median gap']] as const)
    test(`transitions shown as ${measure}`, async () => {
      const page = await Console.open(browser, 'order/transitions')
      const cell = page.page.locator('table.matrix tbody tr').first().locator('td').first()
      const before = await cell.innerText()
      await page.press(heading)
      assert.equal(page.params.get('show'), measure)
      assert.notEqual(await cell.innerText(), before)
      await page.close()
    })

  test('precedence', async () => {
    const page = await Console.open(browser, 'order/precedence')
    const { pairs } = await api('/v1/order/precedence?limit=10000')
    await page.panel('Which comes first').getByRole('button', { name: 'Table' }).click()
    const table = await page.table('Pairs of features by which comes first')
    assert.ok(pairs.length > 10)
    assert.deepEqual(
      table.map(([first, then, sessions, both]) => [first, then, number(sessions), number(both)]),
      pairs.map((pair: { first: Feature; then: Feature; sessions: number; both: number }) => [text(pair.first), text(pair.then), pair.sessions, pair.both]),
    )
    await page.close()
  })

  for (const [where, body] of [
    ['', { length: 3 }],
    ['?length=5', { length: 5 }],
    ['?start=browse/home', { length: 3, start: { category: 'browse', name: 'home' } }],
    ['?through=cart/cart&length=4', { length: 4, through: { category: 'cart', name: 'cart' } }],
    ['?end=checkout/purchase', { length: 3, end: { category: 'checkout', name: 'purchase' } }],
    ['?whole=yes', { length: undefined, whole_session: true }],
    ['?app=demo&from=2024-04-01&to=2024-05-01', { length: 3, app: 'demo', from: '2024-04-01', to: '2024-05-01' }],
  ] as [string, object][])
    test(`paths ${where}`, async () => {
      const page = await Console.open(browser, `order/paths${where}`)
      const { paths } = await api('/v1/order/paths', { ...body, limit: 20 })
      assert.ok(paths.length > 3)
      const table = await page.table('Most frequent paths')
      assert.deepEqual(
        table.map(([steps, times, sessions]) => [steps, number(times), number(sessions)]),
        paths.map((path: { steps: Feature[]; count: number; sessions: number }) => [path.steps.map(text).join(' '), path.count, path.sessions]),
      )
      await page.close()
    })

  test('flow from a feature: every use goes somewhere or ends', async () => {
    const page = await Console.open(browser, 'order/flow?start=cart/add_to_cart')
    assert.equal(await page.page.locator('.flow svg').count(), 1)
    await page.panel(/^Flow from/).getByRole('button', { name: 'Table' }).click()
    const table = await page.table('Steps of the flow')
    const first = table.filter(([step]) => step === '1')
    const { features } = await api('/v1/features?category=cart&name=add_to_cart')
    assert.equal(first.reduce((sum, row) => sum + number(row[3]), 0), features[0].events)
    const { transitions } = await api('/v1/order/transitions?limit=10000')
    const going = transitions.filter((t: { from: Feature }) => t.from.name === 'add_to_cart')
    const named = first.filter(([, , to]) => !/^\d+ other features?$|^session ends$/.test(to!))
    assert.ok(named.length >= 5)
    for (const [, , to, times] of named) assert.equal(number(times), going.find((t: { to: Feature }) => text(t.to) === to)?.count, to)
    await page.close()
  })

  // From four steps on the most frequent paths alone, however many, told neither how often a feature is there nor which ones are.
  for (const [address, body] of [
    ['start=browse/product_view&steps=5', { start: { category: 'browse', name: 'product_view' }, length: 5 }],
    ['end=checkout/purchase&steps=5&from=2024-03-01&to=2024-05-01', { end: { category: 'checkout', name: 'purchase' }, length: 5, from: '2024-03-01', to: '2024-05-01' }],
  ] as [string, { start?: Feature; end?: Feature; length: number; from?: string; to?: string }][])
    test(`flow: every use is in every step, ${address}`, async () => {
      const page = await Console.open(browser, `order/flow?${address}`)
      await page.panel(/^Flow /).getByRole('button', { name: 'Table' }).click()
      const table = (await page.table('Steps of the flow')).map(([step, from, to, times]) => ({ step: number(step), far: body.end ? from! : to!, times: number(times) }))
      const { paths } = (await api('/v1/order/paths', { ...body, limit: 10_000 })) as { paths: { steps: Feature[]; count: number }[] }
      assert.ok((paths.length > 1000 || body.end) && paths.length < 10_000)
      const counted = new Map<string, number>()
      for (const { steps, count } of paths) {
        const last = text(body.end ? steps[0]! : steps.at(-1)!)
        counted.set(last, (counted.get(last) ?? 0) + count)
      }
      // What the API counts one by one is drawn: the seven most frequent by name, all others together.
      const shown = new Map<string, number>()
      for (const { step, far, times } of table) if (step === 4 && !ENDED.test(far)) shown.set(far, (shown.get(far) ?? 0) + times)
      const sorted = [...counted].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
      const rest = sorted.slice(7)
      assert.deepEqual(Object.fromEntries(shown), Object.fromEntries([...sorted.slice(0, 7), [`${rest.length} other features`, rest.reduce((sum, [, n]) => sum + n, 0)]]))
      // What is not there has ended before: the session, or what is left of it.
      assert.equal(table.some(({ far }) => /^session/.test(far)), !body.from)
      const into = (step: number, ended: boolean) => table.filter((link) => link.step === step && ENDED.test(link.far) === ended).reduce((sum, { times }) => sum + times, 0)
      for (let step = 2; step <= 4; step++) assert.equal(into(step, false) + into(step, true), into(step - 1, false))
      await page.close()
    })

  test('a flow gets the colours of its categories, however late they are known', async () => {
    const page = await Console.open(browser, 'usage')
    let answer = () => {}
    const held = new Promise<void>((resolve) => (answer = resolve))
    await page.page.route('**/v1/apps', async (route) => (await held, route.continue()))
    await page.page.goto('about:blank')
    await page.visit('order/flow?start=cart/add_to_cart')
    const fill = async () => await page.page.locator('.flow svg path').evaluateAll((paths) => paths.some((path) => path.getAttribute('fill') === '#23804f'))
    await page.page.locator('.flow svg path').first().waitFor()
    assert.equal(await fill(), false)
    answer()
    await eventually('the colour of cart', fill, (coloured) => coloured)
    await page.close()
  })

  test('flow to a feature', async () => {
    const page = await Console.open(browser, 'order/flow?end=checkout/purchase')
    await page.panel(/^Flow to/).getByRole('button', { name: 'Table' }).click()
    const first = (await page.table('Steps of the flow')).filter(([step]) => step === '1')
    const { features } = await api('/v1/features?category=checkout&name=purchase')
    assert.equal(first.reduce((sum, row) => sum + number(row[3]), 0), features[0].events)
    await page.close()
  })

  test('flow: by default from where most sessions begin; what they begin and end with', async () => {
    const page = await Console.open(browser, 'order/flow')
    const { entries } = await api('/v1/order/entries')
    const { exits } = await api('/v1/order/exits')
    await page.page.getByRole('heading', { name: `Flow from ${entries[0].name}` }).waitFor()
    const figures = async (caption: string) => (await page.table(caption)).map(([feature, sessions]) => [feature, number(sessions)])
    const expected = (ends: (Feature & { sessions: number })[]) => ends.map((end) => [text(end), end.sessions])
    assert.deepEqual(await figures('Sessions begin with'), expected(entries))
    assert.deepEqual(await figures('Sessions end with'), expected(exits))
    await page.close()
  })

  test('flow: where no session begins, from what is used most', async () => {
    const session_id = randomUUID()
    const event = (timestamp: string) => ({ session_id, category: 'page interaction', name: 'pageview', data: { host: 'www.example.com', path: '/' }, timestamp })
    await send([event('2023-12-30 10:00:00'), event('2023-12-30 12:00:00')])
    await eventually('the session', () => api('/v1/order/entries?from=2023-12-30T09:00:00Z&to=2023-12-30T11:00:00Z'), ({ entries }) => entries.length === 1)
    const page = await Console.open(browser, 'order/flow?from=2023-12-30T11:00:00Z&to=2023-12-30T13:00:00Z')
    await page.page.getByRole('heading', { name: 'Flow from pageview' }).waitFor()
    await page.panel(/^Flow from/).getByRole('button', { name: 'Table' }).click()
    assert.deepEqual((await page.table('Steps of the flow')).map((row) => row.slice(0, 4)), [['1', 'page interaction pageview', 'nothing more that passes the filters', '1']])
    await page.close()
  })

  test('flow: the drawing stays, dimmed, until it is known where sessions begin', async () => {
    const page = await Console.open(browser, 'order/flow')
    let answer = () => {}
    const held = new Promise<void>((resolve) => (answer = resolve))
    await page.page.route('**/v1/order/entries?*app=demo*', async (route) => (await held, route.continue()))
    await page.select('Application').selectOption('demo')
    await page.page.locator('.flow .stale svg').waitFor({ timeout: 5_000 })
    answer()
    await page.settled()
    assert.equal(await page.page.locator('.flow svg').count(), 1)
    await page.close()
  })

  test('retention', async () => {
    const page = await Console.open(browser, 'order/retention')
    const { cohorts } = await api('/v1/retention?interval=week&periods=12')
    const table = await page.table('Retention by cohort')
    assert.deepEqual(
      // What is still to come is an empty cell.
      table.map(([start, sessions, ...returned]) => [start, number(sessions), ...returned.map((back) => (back ? number(back) : null))]),
      cohorts.map((cohort: { start: string; sessions: number; returned: (number | null)[] }) => [cohort.start.slice(0, 10), cohort.sessions, ...cohort.returned]),
    )
    await page.close()
  })
})

describe('Funnel', () => {
  let browser: Browser
  before(async () => void (browser = await launch()))
  after(() => browser.close())

  const STEPS = [
    { category: 'browse', name: 'product_view' },
    { category: 'cart', name: 'add_to_cart' },
    { category: 'checkout', name: 'purchase' },
  ]
  const steps = STEPS.map(({ category, name }) => `step=${category}/${name}`).join('&')
  const figures = async (page: Console) => Promise.all(STEPS.map(async (_, i) => number(await page.page.locator(`[data-test="step-${i + 1}"] b`).innerText())))
  const expected = async (body: object) => (await api('/v1/order/funnel', { steps: STEPS, ...body })).steps.map(({ sessions }: { sessions: number }) => sessions)

  for (const [where, body] of [
    ['', {}],
    ['&window=30m', { window: '30m' }],
    ['&window=30m&begin=first', { window: '30m', start: 'first' }],
    ['&exclude=browse/search', { exclude: [{ category: 'browse', name: 'search' }] }],
    ['&from=2024-04-01&to=2024-05-01', { from: '2024-04-01', to: '2024-05-01' }],
  ] as [string, object][])
    test(`the same as the API ${where}`, async () => {
      const page = await Console.open(browser, `order/funnel?${steps}${where}`)
      const sessions = await expected(body)
      assert.ok(sessions[2] > 0)
      assert.deepEqual(await figures(page), sessions)
      await page.close()
    })

  test('built step by step with the keyboard', async () => {
    const page = await Console.open(browser, 'order/funnel')
    await page.choose('Step 1', 'browse/product_view')
    await page.choose('Step 2', 'checkout/purchase')
    await page.choose('Step 3', 'cart/add_to_cart')
    await page.page.getByRole('button', { name: 'Move step 3 up' }).focus()
    await page.page.keyboard.press('Enter')
    await page.settled()
    assert.deepEqual(page.params.getAll('step'), STEPS.map(({ category, name }) => `${category}/${name}`))
    assert.deepEqual(await figures(page), await expected({}))
    await page.choose('All steps within', '30m')
    assert.deepEqual(await figures(page), await expected({ window: '30m' }))
    await page.press('its first use')
    assert.deepEqual(await figures(page), await expected({ window: '30m', start: 'first' }))
    await page.press('Take out step 3')
    assert.equal(page.params.getAll('step').length, 2)
    await page.close()
  })

  test('an arrow key in a select changes the step that it chose, and keeps the focus', async () => {
    const page = await Console.open(browser, 'order/funnel?step=browse/product_view')
    const focused = () => page.page.evaluate(() => (document.activeElement as HTMLSelectElement).labels?.[0]?.querySelector('span')?.textContent)
    // What is a step can't be excluded: the third is step 2.
    for (const [label, name, presses] of [['Step 2', 'step', 3], ['Excluded', 'exclude', 2]] as const) {
      await page.select(label).locator('option').nth(4).waitFor({ state: 'attached' })
      await page.select(label).focus()
      const before = page.params.getAll(name)
      const chosen = new Set<string>()
      for (let press = 0; press < presses; press++) {
        await page.page.keyboard.press('ArrowDown')
        await page.settled()
        assert.equal(await focused(), label)
        assert.equal(page.params.getAll(name).length, before.length + 1)
        chosen.add(page.params.getAll(name).at(-1)!)
      }
      assert.equal(chosen.size, presses)
    }
    await page.choose('Excluded', '')
    assert.equal(page.params.has('exclude'), false)
    await page.close()
  })

  test('all steps and exclusions of an address are shown', async () => {
    const { features } = (await api('/v1/features')) as { features: Feature[] }
    const encoded = features.slice(0, 10).map(({ category, name }) => `${encodeURIComponent(category)}/${encodeURIComponent(name)}`)
    const page = await Console.open(browser, `order/funnel?${encoded.slice(1).map((step) => `step=${step}`).join('&')}&exclude=${encoded[0]}`)
    assert.equal(await page.select('Step 9').inputValue(), encoded[9])
    assert.equal(await page.select('Step 10').count(), 0)
    await page.visit(`order/funnel?step=${encoded[0]}&${encoded.slice(1).map((one) => `exclude=${one}`).join('&')}`)
    assert.equal(await page.select('Excluded (9)').inputValue(), encoded[9])
    await page.close()
  })

  test('suggests a first funnel', async () => {
    const page = await Console.open(browser, 'order/funnel')
    let answer = () => {}
    const held = new Promise<void>((resolve) => (answer = resolve))
    await page.page.route('**/v1/order/paths', async (route) => (await held, route.continue()))
    await page.select('Application').selectOption('demo')
    await page.page.locator('.stale').getByText('Use these steps').waitFor({ timeout: 5_000 })
    answer()
    await page.settled()
    await page.press('Use these steps')
    assert.equal(page.params.getAll('step').length, 3)
    assert.equal(await page.page.locator('ol.funnel > li').count(), 3)
    await page.close()
  })
})
