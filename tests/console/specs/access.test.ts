import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { Console, launch, NARROW, WIDE } from '../browser.ts'
import { api } from '../pipeline.ts'

/* Every page, in light, dark and narrow: nothing serious for axe, nothing wider than the screen; and its picture. */

const FUNNEL = 'order/funnel?step=browse/product_view&step=cart/add_to_cart&step=checkout/purchase&window=30m'

const PAGES: [string, string, ((page: Console) => Promise<unknown>)?][] = [
  ['usage', 'usage'],
  ['usage-feature', 'usage?category=checkout&name=purchase'],
  ['usage-empty', 'usage?from=2000-01-01&to=2000-02-01'],
  ['flow', 'order/flow'],
  ['flow-table', 'order/flow', (page) => page.press('Table')],
  ['transitions', 'order/transitions'],
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
