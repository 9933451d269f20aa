import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { Console, launch, number } from '../browser.ts'
import { api, send } from '../pipeline.ts'

interface EventType {
  category: string
  name: string
  version: number
  versions: { version: number; schema: object }[]
  examples: { valid: boolean; event: object; reasons: string[] }[]
  events: number
  sessions: number
}

describe('Live, Health, Event types', () => {
  let browser: Browser
  before(async () => void (browser = await launch()))
  after(() => browser.close())

  const event = (path: unknown) => ({ event_id: randomUUID(), session_id: randomUUID(), category: 'page interaction', name: 'pageview', data: { host: 'live.example.com', path }, timestamp: new Date().toISOString() })

  test('events and verdicts show up as they come in', async () => {
    const page = await Console.open(browser, 'live')
    await page.page.getByText('connected', { exact: true }).waitFor()
    const [good, bad] = [event('/live'), event(7)]
    await send([good, bad, good])
    const row = (id: string, verdict: string) => page.page.locator(`tr[data-event="${id}"]`).filter({ hasText: verdict })
    await row(good.event_id, 'accepted').getByText('/live').waitFor()
    await row(good.event_id, 'duplicate').waitFor()
    await row(bad.event_id, 'rejected').getByText('data_invalid /data/path').waitFor()
    for (const verdict of ['accepted', 'rejected', 'duplicate']) assert.ok(number(await page.page.locator(`[data-test="${verdict}"]`).innerText()) >= 1)

    // A filter of verdicts, and a pause.
    await page.page.getByRole('button', { name: 'Rejected', exact: true }).click()
    await row(good.event_id, 'accepted').waitFor({ state: 'detached' })
    assert.equal(page.params.get('verdict'), 'rejected')
    await page.page.getByRole('button', { name: 'Pause' }).click()
    const later = event(8)
    const seen = number(await page.page.locator('[data-test="rejected"]').innerText())
    await send([later])
    await page.page.waitForFunction((seen) => Number(document.querySelector('[data-test="rejected"]')!.textContent) > seen, seen)
    assert.equal(await row(later.event_id, 'rejected').count(), 0)
    await page.page.getByText(/^\d+ more came in\.$/).waitFor({ timeout: 5_000 })
    // What came in meanwhile is there after it.
    await page.page.getByRole('button', { name: 'Paused' }).click()
    await row(later.event_id, 'rejected').waitFor()
    await page.close()
  })

  test('audit and lag are those of the API', async () => {
    const page = await Console.open(browser, 'health')
    const audit = await api('/v1/audit')
    assert.equal(await page.page.locator('[data-test="audit"]').evaluate((dd) => dd.firstChild?.textContent), audit.adds_up ? 'adds up' : 'does not add up')
    for (const verdict of ['accepted', 'rejected', 'duplicate', 'absent', 'lost', 'erased', 'erasure'] as const) assert.equal(number(await page.page.locator(`[data-test="verdicts-${verdict}"]`).innerText()), audit.verdicts[verdict])
    const table = await page.table('Audit by partition')
    assert.deepEqual(
      table.map(([partition, , , , gaps, overlaps, accepted, rejected, duplicate, result]) => [...[partition, gaps, overlaps, accepted, rejected, duplicate].map(number), result]),
      audit.partitions.map((p: { partition: number; gaps: unknown[]; overlaps: number; verdicts: Record<string, number>; adds_up: boolean; problems: string[] }) => [
        p.partition, p.gaps.length, p.overlaps, p.verdicts.accepted, p.verdicts.rejected, p.verdicts.duplicate, p.adds_up ? 'adds up' : p.problems.join('; '),
      ]),
    )
    const health = await api('/v1/health')
    const lag = await page.table('Lag by partition')
    assert.deepEqual(
      lag.map(([partition, end, position]) => [partition, end, position].map(number)),
      health.partitions.map((p: { partition: number; log_end: number; position: number }) => [p.partition, p.log_end, p.position]),
    )
    await page.close()
  })

  test('event types: all that are declared, with their use', async () => {
    const page = await Console.open(browser, 'event-types')
    const { event_types } = (await api('/v1/event-types')) as { event_types: EventType[] }
    assert.ok(event_types.length > 10)
    assert.deepEqual(
      (await page.table('Declared event types')).map(([type, version, examples, events, sessions]) => [type, ...[version, examples, events, sessions].map(number)]),
      event_types.map((type) => [`${type.category} ${type.name}`, type.version, type.examples.length, type.events, type.sessions]),
    )
    await page.close()
  })

  test('an event type: its schemas and examples', async () => {
    const page = await Console.open(browser, 'event-types')
    await page.page.getByRole('region', { name: 'Declared event types' }).getByRole('link', { name: 'page interaction cta click' }).click()
    await page.settled()
    const { event_types } = (await api('/v1/event-types')) as { event_types: EventType[] }
    const type = event_types.find(({ name }) => name === 'cta click')!
    assert.deepEqual(JSON.parse(await page.page.getByRole('region', { name: 'Schema', exact: true }).innerText()), type.versions.at(-1)!.schema)
    assert.ok(type.examples.some(({ valid }) => valid) && type.examples.some(({ valid }) => !valid))
    // The valid ones come first.
    const examples = [true, false].flatMap((valid) => type.examples.filter((example) => example.valid === valid))
    for (const [index, { event }] of examples.entries())
      assert.deepEqual(JSON.parse(await page.page.getByRole('region', { name: `Example ${index + 1}`, exact: true }).innerText()), event)
    await page.close()
  })

  test('an example that is null is one of many', async () => {
    const page = await Console.open(browser, 'usage')
    await page.page.route('**/v1/event-types', async (route) => {
      const answer = await (await route.fetch()).json()
      for (const type of answer.event_types) type.examples = [{ valid: false, event: null, reasons: ['not_an_object'] }]
      await route.fulfill({ json: answer })
    })
    await page.visit('event-types?type=page%2520interaction/cta%2520click')
    assert.equal((await page.page.getByRole('region', { name: 'Example 1', exact: true }).innerText()).trim(), 'null')
    await page.close()
  })
})
