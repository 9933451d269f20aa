/** The query API: what can be asked. The shapes of questions and answers come from its OpenAPI document. */
import type { Question } from './ask'
import type { Feature } from './feature'
import type { AsOf } from './moment'
import type { components, paths as Paths } from './openapi'
import type { Interval, Scope } from './scope'

export type { Feature }

/** An answer has all its members: a value that does not exist is null. Free JSON is kept as a text (see `verbatim`). */
type Whole<T> = unknown extends T
  ? string
  : T extends Record<string, never>
    ? string
    : { [K in keyof T]-?: Whole<T[K]> }
type Schemas = Whole<components['schemas']>

type Gets = { [P in keyof Paths]: Paths[P]['get'] }
type Posts = { [P in keyof Paths]: Paths[P]['post'] }
type Json<T> = { content: { 'application/json': T } }
type Answer<O> = O extends { responses: { 200: Json<infer T> } } ? Whole<T> & { as_of: AsOf } : never
type Body<O> = O extends { requestBody: Json<infer T> } ? T : never
type Query<O> = O extends { parameters: { query?: infer Q } }
  ? { [K in keyof NonNullable<Q>]: NonNullable<Q>[K] | null }
  : never

/** `verbatim`: the members whose JSON is not read, but kept as its sender wrote it. `id`: for a path that has one. */
function get<P extends keyof Paths>(
  path: P,
  query: Query<Gets[P]>,
  verbatim?: string[],
  id = '',
): Question<Answer<Gets[P]>> {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if ((value ?? '') !== '') search.set(name, String(value))
  const text = search.toString().replace(/%(2F|3A|2C)/g, (code) => decodeURIComponent(code))
  const named = path.replace(/\{\w+\}/, encodeURIComponent(id))
  return { method: 'GET', path: text ? `${named}?${text}` : named, verbatim }
}

const post = <P extends keyof Paths>(path: P, body: Body<Posts[P]>): Question<Answer<Posts[P]>> =>
  ({ method: 'POST', path, body: JSON.parse(JSON.stringify(body)) })

/** An answer that keeps what it was asked for. */
const keeping = <T, K extends object>(question: Question<T>, kept: K) => ({ ...question, kept }) as Question<T & K>

// Usage

export type FeatureUse = Schemas['FeatureUse']
export const features = (scope: Scope, order: 'most' | 'least', by: 'events' | 'sessions', limit?: number) =>
  get('/v1/features', { order, by, ...scope, limit })
export const unused = (scope: Scope) => get('/v1/features/unused', { ...scope })
export const usage = (scope: Scope, interval: Interval) =>
  keeping(get('/v1/usage', { interval, ...scope }), { interval })
export const apps = (scope: Scope) => get('/v1/apps', { ...scope })

// Order

export type Transition = Schemas['Transition']
export const transitions = (scope: Scope) => get('/v1/order/transitions', { ...scope, limit: 10_000 })

export type Pair = Schemas['Pair']
export const precedence = (scope: Scope) => get('/v1/order/precedence', { ...scope, limit: 10_000 })

export const paths = (scope: Scope, body: components['schemas']['PathsBody']) =>
  post('/v1/order/paths', { ...scope, ...body })

export type FlowNode = Schemas['FlowNode']
/** `backwards`: it leads to an end. `filtered`: it leaves out other events of its sessions. */
export type Flow = Schemas['Flow'] & { backwards: boolean; filtered: boolean }
export const flow = (scope: Scope, body: components['schemas']['FlowBody']): Question<Flow> =>
  keeping(post('/v1/order/flow', { ...scope, ...body }), {
    backwards: !!body.end,
    filtered: Object.keys(scope).length > 0,
  })

export type FunnelStep = Schemas['FunnelStep']
export const funnel = (scope: Scope, body: components['schemas']['FunnelBody']) =>
  post('/v1/order/funnel', { ...scope, ...body })

export type EndFeature = Schemas['End']
export const entries = (scope: Scope) => get('/v1/order/entries', { ...scope, limit: 10_000 })
export const exits = (scope: Scope) => get('/v1/order/exits', { ...scope, limit: 10_000 })

// Sessions and events

export type StoredEvent = Schemas['Event']
export type WholeSession = Schemas['WholeSession']
export const session = (id: string, limit: number) => get('/v1/sessions/{session_id}', { limit }, ['data'], id)

export type ListOrder = 'newest' | 'oldest'
export const events = (scope: Scope, query: Query<Gets['/v1/events']>) =>
  get('/v1/events', { ...scope, ...query }, ['data'])

/** The streams of all events: their labels, media types and file names. */
export const EXPORTS = [
  { label: 'NDJSON', accept: 'application/x-ndjson', file: 'events.ndjson' },
  { label: 'CSV', accept: 'text/csv', file: 'events.csv' },
  { label: 'Parquet', accept: 'application/vnd.apache.parquet', file: 'events.parquet' },
]

// Problems

export type Reason = Schemas['Reason']
export const REASONS = [
  'empty_record', 'record_too_large', 'invalid_json', 'not_an_object', 'missing_field', 'invalid_field',
  'future_timestamp', 'timestamp_out_of_range', 'unknown_event_type', 'data_invalid', 'unknown_application',
  'unsigned_erasure',
]

export type Rejection = Schemas['Rejection']
export const rejections = (scope: Scope, query: Query<Gets['/v1/rejections']>) =>
  get('/v1/rejections', { ...scope, ...query })

export type RejectionCount = Schemas['RejectionCount']
export const rejectionsSummary = (scope: Scope, reason?: string | null) =>
  get('/v1/rejections/summary', { ...scope, reason })

export type RejectionBucket = Schemas['RejectionsBucket']
export const rejectionsSeries = (scope: Scope, reason: string | null, interval: Interval) =>
  keeping(get('/v1/rejections/series', { interval, ...scope, reason }), { interval })

export const fate = (id: string) => get('/v1/events/{event_id}', {}, ['data'], id)

// Retention

export type Cohort = Schemas['Cohort']
export const retention = (scope: Scope, interval: 'day' | 'week') =>
  keeping(get('/v1/retention', { interval, periods: 12, ...scope }), { interval })

// Operations

export type PartitionAudit = Schemas['PartitionAudit']
export const audit = () => get('/v1/audit', {})
export const health = () => get('/v1/health', {})

export type EventType = Schemas['EventType']
export const eventTypes = () => get('/v1/event-types', {}, ['schema', 'event'])

/** The stream has no other verdicts. */
export type LiveVerdict = Schemas['LiveVerdict'] & { verdict: 'accepted' | 'rejected' | 'duplicate' }
/** Server-sent events: `accepted`, `rejected`, `duplicate` (a `LiveVerdict`), `as_of`, `skipped`. */
export const live = (): Question<never> => ({ method: 'GET', path: '/v1/live', verbatim: ['data'] })
