import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { Console, launch, NARROW, WIDE } from '../browser.ts'
import { api, eventually, send } from '../pipeline.ts'

/* Every page, in light, dark and narrow: nothing serious for axe, nothing wider than the screen; and its picture. */

const FUNNEL = 'order/funnel?step=browse/product_view&step=cart/add_to_cart&step=checkout/purchase&window=30m'

const PAGES: [string, string, ((page: Console) => Promise<unknown>)?][] = [
  ['usage', 'usage'],
  ['usage-feature', 'usage?category=checkout&name=purchase'],
  ['usage-empty', 'usage?from=2000-01-01&to=2000-02-01'],
  ['flow', 'order/flow'],
  ['flow-table', 'order/flow', (page) => page.press('Table')],
  ['transitions', 'order/transitions'],
  ['filters', 'order/transitions?last=2w&app=demo&category=cart&from=2024-04-01'],
  ['precedence', 'order/precedence'],
  ['funnel', FUNNEL],
  ['funnel-new', 'order/funnel'],
  ['paths', 'order/paths'],
  ['retention', 'order/retention'],
  ['sessions', 'sessions'],
  ['events', 'events', (page) => page.press(/^Details of/)],
  ['problems', 'problems', (page) => page.press(/^Record /)],
  ['live', 'live'],
  ['health', 'health'],
  ['event-types', 'event-types'],
  ['event-type', 'event-types?type=page+interaction/pageview'],
  ['not-found', 'nowhere'],
  ['sql', 'usage', (page) => page.panel('Most used').getByRole('button', { name: 'SQL', exact: true }).click()],
]

/** Controls that stick out of their panel: only what scrolls may be wider than it is. */
const beyond = (page: Console) =>
  page.page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>('.panel button, .panel select, .panel input, .scope input, .scope select')]
      .filter((control) => !control.closest('.scroll, dialog, details') && control.getBoundingClientRect().right > control.closest('.panel, .scope')!.getBoundingClientRect().right)
      .map((control) => control.outerHTML.slice(0, 100)),
  )

for (const [variant, options] of [
  ['light', { viewport: WIDE, colorScheme: 'light' }],
  ['dark', { viewport: WIDE, colorScheme: 'dark' }],
  ['narrow', { viewport: NARROW, colorScheme: 'light' }],
] as const)
  describe(`Access, ${variant}`, () => {
    let browser: Browser
    let page: Console
    before(async () => {
      browser = await launch()
      page = await Console.open(browser, 'usage', options)
    })
    after(() => browser.close())

    const check = async (name: string) => {
      await page.screenshot(`${name}-${variant}`)
      const widths = await page.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
      assert.ok(widths[0]! <= widths[1]!, `${name} is ${widths[0]} wide on a screen of ${widths[1]}`)
      assert.deepEqual(await beyond(page), [], `${name}: controls within their panels`)
      assert.deepEqual(await page.barriers(), [])
    }

    for (const [name, address, act] of PAGES)
      test(name, async () => {
        await page.visit(address)
        await act?.(page)
        await check(name)
        await page.page.keyboard.press('Escape')
        assert.deepEqual(page.complaints, [])
      })

    test('session and rejected event', async () => {
      const { events } = await api('/v1/events?category=checkout&name=purchase&limit=1')
      await page.visit(`sessions/${events[0].session_id}`)
      await page.press('Data')
      await check('session')
      const { rejections } = await api('/v1/rejections?reason=data_invalid&limit=1')
      await page.visit(`problems?event=${rejections[0].event_id}`)
      await check('rejected')
    })

    test('each step of a path is in one line', async () => {
      await page.visit('order/paths')
      const heights = await page.page.locator('.steps li').evaluateAll((steps) => steps.slice(0, 30).map((step) => (step as HTMLElement).offsetHeight))
      assert.ok(heights.length === 30 && heights.every((height) => height < 30), `${heights}`)
    })

    test('features can be told apart in a matrix', async () => {
      await page.visit('order/transitions')
      // Where a box does not fit beside an ellipsis nothing of it is drawn, so it can't be hit either.
      const unseen = await page.page.locator('.matrix th[scope="row"] .name').evaluateAll((names) =>
        names
          .filter((name) => {
            name.scrollIntoView({ block: 'center' })
            const { left, top, height } = name.getClientRects()[0]!
            return !name.contains(document.elementFromPoint(left + 3, top + height / 2))
          })
          .map((name) => name.textContent),
      )
      assert.deepEqual(unseen, [])
    })

    test('a name as long as a sender likes leaves the other columns where they are', async () => {
      const [receipt] = await send([{ session_id: randomUUID(), category: 'page interaction', name: 'x'.repeat(255), data: {}, timestamp: '2024-03-01 10:00:00' }])
      await eventually('a verdict', () => api(`/v1/events/${receipt!.event_id}`).catch(() => null), (fate) => fate !== null)
      await page.visit('problems')
      const widths = await page.page.locator('.summary .scroll, .rejected .scroll').evaluateAll((all) => all.map((region) => [region.scrollWidth, region.clientWidth]))
      if (variant === 'narrow') for (const [wide] of widths) assert.ok(wide! < 1000, `${widths}`)
      else for (const [wide, room] of widths) assert.ok(wide! <= room!, `${widths}`)
      await check('problems-long-name')
    })

    if (variant === 'narrow')
      test('a time range can be read', async () => {
        await page.visit('usage?from=2024-03-01&to=2024-04-01')
        const widths = await page.page.locator('input[type="datetime-local"]').evaluateAll((inputs) => inputs.map((input) => input.clientWidth))
        assert.ok(widths.length === 2 && widths.every((width) => width > 220), `${widths}`)
        await check('usage-range')
      })

    if (variant === 'narrow')
      test('the menu leads to each page', async () => {
        await page.visit('usage')
        await page.page.getByRole('button', { name: 'Menu' }).click()
        await check('menu')
        await page.page.getByRole('link', { name: 'Funnel', exact: true }).click()
        await page.page.getByRole('heading', { name: 'Funnel', level: 1 }).waitFor()
        assert.equal(await page.page.getByRole('button', { name: 'Menu' }).getAttribute('aria-expanded'), 'false')
      })
  })
