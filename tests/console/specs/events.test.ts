import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { Console, launch, number } from '../browser.ts'
import { api, eventually, INGEST, KEY, produce, QUERY, send } from '../pipeline.ts'

interface Stored {
  event_id: string
  session_id: string
  app: string
  category: string
  name: string
  timestamp: string
  data: unknown
}

describe('Sessions', () => {
  let browser: Browser
  before(async () => void (browser = await launch()))
  after(() => browser.close())

  test('recently active ones lead to their timelines', async () => {
    const page = await Console.open(browser, 'sessions')
    const { events } = (await api('/v1/events?limit=300')) as { events: Stored[] }
    const sessions = [...new Set(events.map(({ session_id }) => session_id))]
    assert.deepEqual((await page.table('Recently active sessions')).map(([id]) => id), sessions)
    await page.page.getByRole('link', { name: sessions[0]!, exact: true }).click()
    await page.settled()
    assert.match(page.page.url(), new RegExp(`#/sessions/${sessions[0]}$`))
    assert.ok(number(await page.page.locator('[data-test="session-events"]').innerText()) >= 1)
    await page.close()
  })

  test('a timeline has every event in the order of the session, with its data', async () => {
    const { events: some } = await api('/v1/events?category=checkout&name=purchase&limit=1')
    const id = some[0].session_id
    const { events } = (await api(`/v1/sessions/${id}?limit=2000`)) as { events: Stored[] }
    assert.ok(events.length > 2)
    const page = await Console.open(browser, 'sessions')
    await page.page.getByLabel('Session id').fill(id.toUpperCase())
    await page.press('Show')
    const shown = await page.page.locator('.timeline .event').evaluateAll((rows) => rows.map((row) => [row.querySelector('time')!.dateTime, row.querySelector('.name')!.textContent]))
    assert.deepEqual(shown, events.map(({ timestamp, name }) => [timestamp, name]))
    for (const [index, event] of events.slice(0, 3).entries()) {
      await page.page.locator('.timeline .event button').nth(index).click()
      assert.deepEqual(JSON.parse(await page.page.getByRole('region', { name: `Data of ${event.name}` }).last().innerText()), event.data)
    }
    await page.close()
  })

  test('a long session is told as a whole', async () => {
    const session_id = randomUUID()
    const start = Date.parse('2024-05-02T10:00:00Z')
    const events = Array.from({ length: 2_100 }, (_, second) => ({ session_id, category: 'page interaction', name: 'pageview', data: { host: 'www.example.com', path: '/' }, timestamp: new Date(start + second * 10_000).toISOString() }))
    await send(events)
    await eventually('all events are in', () => api(`/v1/events?session_id=${session_id}&limit=1&order=newest`).catch(() => null), (page) => page?.events[0]?.timestamp.startsWith('2024-05-02T15:49:50'))
    await eventually('all events are in', async () => (await api(`/v1/sessions/${session_id}`).catch(() => null))?.session.events, (events) => events === 2_100)
    const page = await Console.open(browser, `sessions/${session_id}`)
    const fact = (name: string) => page.page.locator(`[data-test="session-${name}"]`).innerText()
    assert.deepEqual([await fact('events'), await fact('to'), await fact('over')], ['2,100', '2024-05-02 15:49:50', '5 h 49 min'])
    await page.panel('Timeline').getByText('The first 2,000 of 2,100 events.').waitFor()
    await page.close()
  })

  test('what is no id is said so, and an unknown one leads on', async () => {
    const page = await Console.open(browser, 'sessions')
    await page.page.getByLabel('Session id').fill('somebody')
    await page.press('Show')
    await page.page.getByRole('alert').getByText('This is not an id').waitFor()
    await page.close()
    const unknown = await Console.open(browser, 'sessions/00000000-0000-4000-8000-00000000dead')
    await unknown.page.getByText('No accepted event has this session id').waitFor()
    // The API's 404 is the answer here.
    await unknown.complained('404')
    await unknown.close()
  })
})

describe('Events', () => {
  let browser: Browser
  before(async () => void (browser = await launch()))
  after(() => browser.close())

  const shown = (page: Console) => page.page.locator('.events tr[data-event]').evaluateAll((rows) => rows.map((row) => row.getAttribute('data-event')))
  const ids = async (query: string) => ((await api(`/v1/events?${query}`)).events as Stored[]).map(({ event_id }) => event_id)

  for (const [filter, address, query] of [
    ['none', '', ''],
    ['category', '?category=cart', '&category=cart'],
    ['name', '?category=cart&name=cart', '&category=cart&name=cart'],
    ['application', '?app=demo', '&app=demo'],
    ['time', '?from=2024-03-01&to=2024-03-02', '&from=2024-03-01&to=2024-03-02'],
    ['oldest first', '?order=oldest', '&order=oldest'],
    ['another page size', '?limit=100', '&limit=100'],
  ] as const)
    test(`filter: ${filter}`, async () => {
      const page = await Console.open(browser, `events${address}`)
      const expected = await ids(`${query.includes('limit') ? '' : 'limit=50'}${query}`)
      assert.ok(expected.length > 0)
      assert.deepEqual(await shown(page), expected)
      await page.close()
    })

  test('filter: session', async () => {
    const { events } = await api('/v1/events?limit=1')
    const id = events[0].session_id
    const page = await Console.open(browser, 'events')
    await page.page.getByLabel('Session id').fill(id)
    await page.press('Filter')
    assert.equal(page.params.get('session_id'), id)
    assert.deepEqual(await shown(page), await ids(`limit=50&session_id=${id}`))
    await page.close()
  })

  test('pages, forth and back by the browser', async () => {
    const page = await Console.open(browser, 'events')
    const first = await api('/v1/events?limit=50')
    const second = await ids(`limit=50&cursor=${encodeURIComponent(first.next_cursor)}`)
    await page.press('Next 50')
    assert.deepEqual(await shown(page), second)
    await page.page.goBack()
    await page.settled()
    assert.deepEqual(await shown(page), first.events.map(({ event_id }: Stored) => event_id))
    await page.close()
  })

  test('an event with its data', async () => {
    const page = await Console.open(browser, 'events')
    const { events } = (await api('/v1/events?limit=1')) as { events: Stored[] }
    await page.press(/^Details of/)
    assert.deepEqual(JSON.parse(await page.page.getByRole('region', { name: `Data of ${events[0]!.name}` }).innerText()), events[0]!.data)
    await page.close()
  })

  test('an event leads to the request that brought it', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const event = { session_id: randomUUID(), category: 'page interaction', name: 'pageview', data: { host: 'www.example.com', path: '/' }, timestamp: '2024-05-03 10:00:00' }
    const response = await fetch(`${INGEST}/events`, { method: 'POST', headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json', traceparent }, body: JSON.stringify(event) })
    const [{ event_id }] = (await response.json()).receipts
    const { traceparent: kept } = await eventually('it is in', () => api(`/v1/events/${event_id}`).catch(() => null), (fate) => fate !== null)
    const page = await Console.open(browser, `events?session_id=${event.session_id}`)
    await page.press(/^Details of/)
    await page.page.getByText(kept, { exact: true }).waitFor()
    await page.visit(`problems?event=${event_id}`)
    await page.panel('Fate of the event').getByText(kept, { exact: true }).waitFor()
    await page.close()
  })

  test('what was sent is shown as it was sent', async () => {
    const [session, form] = [randomUUID(), '{"order":12345678901234567890,"price":1.10,"zero":-0,"2":"b","1":"a"}']
    const live = await Console.open(browser, 'live')
    await live.page.getByText('connected', { exact: true }).waitFor()
    const id = await produce(Buffer.from(`{"session_id":"${session}","category":"form interaction","name":"submit","timestamp":"2024-05-01 10:00:00","data":{"form":${form}, "path":"/" ,"host":"h"}}`))
    const data = `{"form":${form},"path":"/","host":"h"}`
    const squeezed = (text: string) => text.replace(/\s/g, '')
    assert.equal(squeezed(await live.page.locator(`tr[data-event="${id}"] code`).innerText()), data)
    await live.close()

    await eventually('it is in', () => api(`/v1/events?session_id=${session}`), ({ events }) => events.length === 1)
    const page = await Console.open(browser, `events?session_id=${session}`)
    const detail = page.page.getByRole('region', { name: 'Data of submit' })
    assert.equal(squeezed(await page.page.locator(`tr[data-event="${id}"] code`).innerText()), data)
    await page.press(/^Details of/)
    assert.equal(squeezed(await detail.innerText()), data)
    assert.match(await detail.innerText(), /^ {4}"price": 1\.10,$/m)
    await page.visit(`sessions/${session}`)
    await page.press('Data')
    assert.equal(squeezed(await detail.innerText()), data)
    await page.press('Table')
    assert.equal(squeezed(await page.page.getByRole('region', { name: 'Events of the session' }).locator('code').innerText()), data)
    await page.visit(`problems?event=${id}`)
    assert.equal(squeezed(await page.page.getByRole('region', { name: 'Data of the event' }).innerText()), data)
    await page.close()
  })

  for (const [format, accept] of [['NDJSON', 'application/x-ndjson'], ['CSV', 'text/csv'], ['Parquet', 'application/vnd.apache.parquet']] as const)
    test(`export as ${format}`, async () => {
      const filters = 'category=checkout&from=2024-04-01&to=2024-05-01'
      const page = await Console.open(browser, `events?${filters}`)
      await page.page.getByText('Export', { exact: true }).click()
      const [download] = await Promise.all([page.page.waitForEvent('download'), page.page.getByRole('button', { name: format, exact: true }).click()])
      const saved = await readFile(await download.path())
      const answered = Buffer.from(await (await fetch(`${QUERY}/v1/events?${filters}`, { headers: { accept } })).arrayBuffer())
      assert.ok(answered.length > 1000)
      if (format === 'Parquet') assert.equal(saved.subarray(0, 4).toString(), 'PAR1')
      else assert.equal(saved.toString(), answered.toString())
      await page.close()
    })
})
