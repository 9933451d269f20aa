import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { Console, launch, number } from '../browser.ts'
import { api, eventually, produce, rows, send } from '../pipeline.ts'

interface Line {
  reason: string
  app: string
  category: string
  name: string
  records: number
}

describe('Problems', () => {
  let browser: Browser
  const wrong = { event_id: randomUUID(), session_id: randomUUID(), category: 'page interaction', name: 'pageview', data: { host: 'www.example.com', path: 7 }, timestamp: '2024-03-01 10:00:00' }
  const right = { ...wrong, event_id: randomUUID(), data: { host: 'www.example.com', path: '/' } }
  before(async () => {
    browser = await launch()
    await send([wrong, right, right])
    for (const { event_id } of [wrong, right]) await eventually('a verdict', () => api(`/v1/events/${event_id}`).catch(() => null), (fate) => fate !== null)
  })
  after(() => browser.close())

  const grouped = (lines: Line[], by: (line: Line) => string) => {
    const groups = new Map<string, number>()
    for (const line of lines) groups.set(by(line), (groups.get(by(line)) ?? 0) + line.records)
    return Object.fromEntries([...groups].sort())
  }

  for (const [group, caption, by] of [
    ['Reason', 'Rejections by reason', ({ reason }: Line) => reason],
    ['Event type', 'Rejections by event type', ({ category, name }: Line) => (category || name ? `${category} ${name}` : 'could not be read')],
    ['Application', 'Rejections by application', ({ app }: Line) => app || 'unknown'],
  ] as const)
    test(`grouped by ${group}`, async () => {
      const page = await Console.open(browser, 'problems')
      await page.press(group)
      const { summary } = (await api('/v1/rejections/summary')) as { summary: Line[] }
      assert.ok(summary.length > 3)
      const shown = Object.fromEntries((await page.table(caption)).map(([what, records]) => [what, number(records)]).sort())
      assert.deepEqual(shown, grouped(summary, by))
      await page.close()
    })

  test('over time: each rejected record under its reasons', async () => {
    const page = await Console.open(browser, 'usage')
    const records: string[] = []
    page.page.on('request', (request) => new URL(request.url()).pathname === '/v1/rejections' && records.push(new URL(request.url()).search))
    await page.visit('problems')
    // The records themselves, each with its bytes, are asked for by the list alone.
    assert.deepEqual(records, ['?limit=50'])
    const { rejections } = (await api('/v1/rejections?limit=1000')) as { rejections: { reasons: { code: string }[] }[] }
    assert.equal(await page.page.locator('.over-time svg').count(), 1)
    await page.panel('Over time').getByRole('button', { name: 'Table' }).click()
    const table = await page.table('Rejections over time')
    const shown = table.reduce((sum, [, ...counts]) => sum + counts.reduce((sum, text) => sum + number(text), 0), 0)
    assert.equal(shown, rejections.reduce((sum, { reasons }) => sum + new Set(reasons.map(({ code }) => code)).size, 0))
    // The SQL gives all that the panel shows, the empty buckets and the records themselves, too.
    const path = /'http:\/\/[^/]+([^']+)'/.exec(await page.code('Over time', 'curl'))![1]!
    const { series } = (await api(path)) as { series: { start: string; records: number; reasons: { reason: string; records: number }[] }[] }
    const found = await rows(await page.code('Over time', 'SQL'))
    assert.ok(series.length > 0)
    assert.deepEqual(
      found.map(({ start, records, by_reason }) => [String(start).slice(0, 10), records, by_reason]),
      series.map(({ start, records, reasons }) => [start.slice(0, 10), records, Object.fromEntries(reasons.map(({ reason, records }) => [reason, records]))]),
    )
    await page.close()
  })

  test('filter: reason', async () => {
    const page = await Console.open(browser, 'problems')
    await page.choose('Reason', 'data_invalid')
    const { rejections } = await api('/v1/rejections?reason=data_invalid&limit=50')
    const places = await page.page.locator('tr[data-place]').evaluateAll((rows) => rows.map((row) => row.getAttribute('data-place')))
    assert.deepEqual(places, rejections.map(({ partition, offset }: { partition: number; offset: number }) => `${partition}:${offset}`))
    assert.deepEqual((await page.table('Rejections by reason')).map(([reason]) => reason), ['data_invalid'])
    await page.close()
  })

  test('a filter that nothing passes says so, and can be taken away', async () => {
    const page = await Console.open(browser, 'problems?reason=record_too_large')
    await page.page.getByText('No rejections match these filters').first().waitFor()
    await page.press('Clear filters')
    assert.equal(page.params.has('reason'), false)
    assert.ok((await page.page.locator('tr[data-place]').count()) > 0)
    for (const query of ['reason=record_too_large', 'name=never', 'app=nobody', 'category=none']) {
      await page.visit(`problems?${query}`)
      assert.equal(await page.page.getByText('No rejections match these filters').count(), 3, query)
    }
    await page.close()
  })

  test('filter: category, application and time', async () => {
    const { rejections } = await api('/v1/rejections?app=demo&category=page%20interaction&limit=50')
    assert.ok(rejections.length > 0)
    const page = await Console.open(browser, 'problems?app=demo&category=page+interaction')
    assert.equal(await page.page.locator('tr[data-place]').count(), rejections.length)
    // The time is the time of receipt.
    await page.visit('problems?to=2024-12-31')
    await page.page.getByText('No rejections').first().waitFor()
    await page.press('Show all time')
    assert.ok((await page.page.locator('tr[data-place]').count()) > 0)
    await page.close()
  })

  test('a rejected event shows its bytes, with the reason at its place', async () => {
    const page = await Console.open(browser, 'problems')
    await page.page.getByLabel('Where is my event? Event id').fill(wrong.event_id)
    await page.press('Find')
    assert.equal(page.params.get('event'), wrong.event_id)
    const { raw, reasons } = await api(`/v1/events/${wrong.event_id}`)
    assert.equal(reasons[0].pointer, '/data/path')
    const fate = page.panel('Fate of the event')
    assert.equal(await fate.locator('[data-test="verdict"]').innerText(), 'rejected')
    const record = fate.getByRole('region', { name: 'The record as it came' })
    assert.equal(await record.locator('mark').evaluate((mark) => mark.firstChild?.textContent), '7')
    assert.equal(await record.evaluate((pre) => [...pre.querySelectorAll('sup')].reduce((text, sup) => (sup.remove(), text), pre).textContent), raw)
    await fate.getByText(reasons[0].message).waitFor()
    // The list says, too, which value the reason is about.
    const { partition, offset } = await api(`/v1/events/${wrong.event_id}`)
    await page.page.locator(`tr[data-place="${partition}:${offset}"]`).getByText('/data/path', { exact: true }).waitFor()
    await page.close()
  })

  test('the list says that a record has more faults than the one it names', async () => {
    const both = { ...wrong, event_id: randomUUID(), timestamp: '2199-01-01 00:00:00' }
    await send([both])
    const { partition, offset, reasons } = await eventually('a verdict', () => api(`/v1/events/${both.event_id}`).catch(() => null), (fate) => fate !== null)
    assert.deepEqual(reasons.map(({ code }: { code: string }) => code).sort(), ['data_invalid', 'future_timestamp'])
    assert.match(reasons.find(({ code }: { code: string }) => code === 'future_timestamp').message, /^[0-9]+ days later than its receipt/)
    const page = await Console.open(browser, 'problems')
    await page.page.locator(`tr[data-place="${partition}:${offset}"]`).getByText('; and 1 fault more').waitFor()
    await page.close()
  })

  test('bytes that are not text are shown as what they are, with the reason at the first of them', async () => {
    const bytes = [Buffer.from('{"name":"ü\\u0000\u0000'), Buffer.from([0xff, 0xfe]), Buffer.from('\u202e", "data": "')]
    const sent = Buffer.concat([...bytes, Buffer.from([0xe2, 0x82]), Buffer.from('\ufffd"}')])
    const id = await produce(sent)
    const fate = await eventually('a verdict', () => api(`/v1/events/${id}`).catch(() => null), (fate) => fate !== null)
    assert.deepEqual(Buffer.from(fate.raw_base64, 'base64'), sent)
    assert.equal(fate.reasons[0].message, 'not UTF-8 at byte 18')

    const page = await Console.open(browser, `problems?event=${id}`)
    const record = page.panel('Fate of the event').getByRole('region', { name: 'The record as it came' })
    // As a screen reader has it.
    assert.deepEqual(await record.getByRole('img').evaluateAll((all) => all.map((one) => one.getAttribute('aria-label'))), ['byte 00', 'byte ff', 'bytes fe e2 80 ae', 'bytes e2 82'])
    assert.equal(await record.locator('mark').evaluate((mark) => mark.firstChild?.textContent), '\\xff')
    const shown = () => record.evaluate((pre) => [...(pre.cloneNode(true) as Element).childNodes].map((node) => ((node as Element).querySelector?.('sup')?.remove(), node.textContent)).join(''))
    assert.equal(await shown(), '{"name":"ü\\u0000\\x00\\xff\\xfe\\xe2\\x80\\xae", "data": "\\xe2\\x82\ufffd"}')
    assert.deepEqual(await page.barriers(), [])
    await page.press('Indented')
    assert.equal(await shown(), '{\n  "name":"ü\\u0000\\x00\\xff\\xfe\\xe2\\x80\\xae",\n  "data": "\\xe2\\x82\ufffd"\n}')
    assert.equal(await record.locator('mark').evaluate((mark) => mark.firstChild?.textContent), '\\xff')
    await page.screenshot('problems-bytes')

    // The list shows the same, and its records that are all text have no such thing.
    await page.visit('problems')
    await page.page.locator(`tr[data-place="${fate.partition}:${fate.offset}"]`).getByRole('button').click()
    assert.equal(await record.or(page.page.getByRole('region', { name: 'The record as it came' })).getByRole('img').count(), 4)
    await page.visit(`problems?event=${wrong.event_id}`)
    assert.equal(await record.getByRole('img').count(), 0)
    await page.close()
  })

  test('a record that is nested without end is one of many', async () => {
    const deep = []
    for (const text of ['{"a":'.repeat(10_000), '['.repeat(30_000)]) {
      const id = await produce(Buffer.from(text))
      deep.push(await eventually('a verdict', () => api(`/v1/events/${id}`).catch(() => null), (fate) => fate !== null))
    }
    const page = await Console.open(browser, 'problems')
    const record = page.page.getByRole('region', { name: 'The record as it came' })
    for (const { partition, offset, reasons } of deep) {
      await page.page.getByRole('button', { name: `Record ${partition}:${offset}`, exact: true }).click()
      await page.page.getByRole('list', { name: 'Reasons' }).getByText(reasons[0].message).waitFor()
      assert.equal(await record.locator('mark').count(), 1)
      await page.press('Indented')
      await page.page.getByText('Nested too deep to be indented').waitFor()
    }
    // Another record opens after it.
    const other = await api(`/v1/events/${wrong.event_id}`)
    await page.page.getByRole('button', { name: `Record ${other.partition}:${other.offset}`, exact: true }).click()
    await page.page.getByRole('list', { name: 'Reasons' }).getByText(other.reasons[0].message).waitFor()
    await page.visit(`problems?event=${deep[0].event_id}`)
    await page.panel('Fate of the event').getByText(deep[0].reasons[0].message).waitFor()
    await page.close()
  })

  test('an accepted event, sent twice', async () => {
    await eventually('the second verdict', () => api(`/v1/events/${right.event_id}`), ({ others }) => others.length === 1)
    const page = await Console.open(browser, `problems?event=${right.event_id}`)
    const fate = page.panel('Fate of the event')
    assert.equal(await fate.locator('[data-test="verdict"]').innerText(), 'accepted')
    assert.deepEqual(JSON.parse(await fate.getByRole('region', { name: 'Data of the event' }).innerText()), right.data)
    await fate.getByText('duplicate', { exact: true }).waitFor()
    await page.close()
  })

  test('an event that never arrived', async () => {
    const page = await Console.open(browser, `problems?event=${randomUUID()}`)
    await page.page.getByText('No record of this event').waitFor()
    await page.complained('404')
    await page.close()
  })
})
