import { randomUUID } from 'node:crypto'
import { Kafka, logLevel } from 'kafkajs'

/** The running pipeline that the tests look at. Whoever starts it names its addresses. */
function address(name: string): string {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set: start the pipeline and run the tests in it, by \`make test-console\``)
  return value.replace(/\/$/, '')
}

export const QUERY = address('EYE_QUERY_URL')
export const INGEST = address('EYE_URL')
export const CLICKHOUSE = address('EYE_CLICKHOUSE_URL')
const KAFKA = address('EYE_KAFKA')
export const KEY = process.env.EYE_KEY ?? 'demo-key'

/** The API's answer, which a page must agree with. */
export async function api(path: string, body?: object): Promise<any> {
  const init = body && { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const response = await fetch(QUERY + path, init)
  const text = await response.text()
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`)
  return JSON.parse(text)
}

/** Rows of a statement over the views of `eye`, as an analyst would run it. */
export async function rows(sql: string): Promise<Record<string, unknown>[]> {
  const response = await fetch(`${CLICKHOUSE}/?user=analyst&default_format=JSON&output_format_json_quote_64bit_integers=0`, { method: 'POST', body: sql })
  const text = await response.text()
  if (!response.ok) throw new Error(`${text}\n${sql}`)
  return JSON.parse(text).data
}

export interface Receipt {
  event_id: string
  partition: number
  offset: number
}

/** Sends events through the gateway. */
export async function send(events: object[]): Promise<Receipt[]> {
  const response = await fetch(`${INGEST}/events`, { method: 'POST', headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }, body: JSON.stringify(events) })
  if (response.status !== 202) throw new Error(`the gateway answered ${response.status}: ${await response.text()}`)
  return ((await response.json()) as { receipts: Receipt[] }).receipts
}

/** Writes one record straight to Kafka, whatever its bytes; the header gives it the event id that is returned. */
export async function produce(value: Buffer): Promise<string> {
  const producer = new Kafka({ brokers: [KAFKA], logLevel: logLevel.NOTHING }).producer()
  const event_id = randomUUID()
  await producer.connect()
  await producer.send({ topic: 'eye.events', messages: [{ key: randomUUID(), value, headers: { app: 'demo', event_id } }] })
  await producer.disconnect()
  return event_id
}

/** Asks until `holds`; fails with what was last seen. */
export async function eventually<T>(what: string, see: () => Promise<T>, holds: (seen: T) => boolean): Promise<T> {
  const end = Date.now() + 60_000
  for (;;) {
    const seen = await see()
    if (holds(seen)) return seen
    if (Date.now() > end) throw new Error(`${what}: not within a minute; last seen ${JSON.stringify(seen)?.slice(0, 500)}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
