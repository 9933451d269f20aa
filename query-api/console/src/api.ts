/** The query API (see `/openapi.json`): what can be asked, and the shape of each answer. */
import type { Question } from './ask'
import type { Feature } from './feature'
import type { AsOf } from './moment'
import type { Interval, Scope } from './scope'

export type { Feature }

interface Fresh {
  as_of: AsOf
}

type Query = Record<string, string | number | boolean | null | undefined>

/** `verbatim`: the members whose JSON is not read, but kept as its sender wrote it. */
function get<T>(path: string, query: Query = {}, verbatim?: string[]): Question<T> {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== null && value !== '') search.set(name, String(value))
  const text = search.toString().replace(/%(2F|3A|2C)/g, (code) => decodeURIComponent(code))
  return { method: 'GET', path: text ? `${path}?${text}` : path, verbatim }
}

/** An answer that goes on to know what it was asked for. */
const keeping = <T, K extends object>(question: Question<T>, kept: K): Question<T & K> => ({ ...question, kept }) as Question<T & K>

const post = <T>(path: string, body: object): Question<T> => ({ method: 'POST', path, body: JSON.parse(JSON.stringify(body)) })

// Usage

export interface FeatureUse extends Feature {
  events: number
  sessions: number
  first_seen: string
  last_seen: string
}
export const features = (scope: Scope, order: 'most' | 'least', by: 'events' | 'sessions', limit?: number) =>
  get<Fresh & { features: FeatureUse[]; total: { events: number; sessions: number } }>('/v1/features', { order, by, ...scope, limit })

export interface UnusedFeature extends Feature {
  last_seen: string | null
}
export const unused = (scope: Scope) => get<Fresh & { features: UnusedFeature[]; declared: Feature[] }>('/v1/features/unused', { ...scope })

export interface Bucket {
  start: string
  events: number
  sessions: number
}
export const usage = (scope: Scope, interval: Interval) => keeping(get<Fresh & { series: Bucket[] }>('/v1/usage', { interval, ...scope }), { interval })

export interface AppUse {
  app: string
  events: number
  sessions: number
  first_seen: string
  last_seen: string
}
export const apps = (scope: Scope) => get<Fresh & { apps: AppUse[] }>('/v1/apps', { ...scope })

// Order

export interface Transition {
  from: Feature
  to: Feature
  count: number
  sessions: number
  median_gap_ms: number
}
export const transitions = (scope: Scope) => get<Fresh & { transitions: Transition[] }>('/v1/order/transitions', { ...scope, limit: 10_000 })

export interface Pair {
  first: Feature
  then: Feature
  sessions: number
  both: number
}
export const precedence = (scope: Scope) => get<Fresh & { pairs: Pair[] }>('/v1/order/precedence', { ...scope, limit: 10_000 })

export interface PathsBody {
  /** Absent for whole sessions: of any length. */
  length?: number
  start?: Feature
  through?: Feature
  end?: Feature
  whole_session?: boolean
  limit: number
}
export interface Path {
  steps: Feature[]
  count: number
  sessions: number
}
export const paths = (scope: Scope, body: PathsBody) => post<Fresh & { paths: Path[] }>('/v1/order/paths', { ...scope, ...body })

export interface FlowBody {
  /** Either what the flow begins with, or what it ends with. */
  start?: Feature
  end?: Feature
  /** Columns, that of the start (or end) included. */
  length: number
}
export type FlowNode = ({ kind: 'feature' } & Feature) | { kind: 'other' } | { kind: 'ended' }
export interface FlowColumn {
  /** Those that are named, the most frequent first. */
  features: (Feature & { count: number })[]
  /** All others: how many different ones, and how often. */
  other: { features: number; count: number }
  /** How many that were in the column before have no event here. */
  ended: number
}
export interface FlowLink {
  /** That of `to`; `from` is in the column before, nearer to the start (or end). */
  column: number
  from: FlowNode
  to: FlowNode
  count: number
}
export interface Flow {
  columns: FlowColumn[]
  links: FlowLink[]
  /** Uses of the start (or end). */
  starts: number
  /** Whether it is one to an end. */
  backwards: boolean
  /** Whether it leaves out other events of its sessions. */
  filtered: boolean
}
export const flow = (scope: Scope, body: FlowBody): Question<Flow> =>
  keeping(post<Fresh & Omit<Flow, 'backwards' | 'filtered'>>('/v1/order/flow', { ...scope, ...body }), { backwards: !!body.end, filtered: Object.keys(scope).length > 0 })

export interface FunnelBody {
  steps: Feature[]
  window?: string
  start: 'any' | 'first'
  exclude?: Feature[]
}
export interface FunnelStep extends Feature {
  sessions: number
  /** From the first step 1 that reaches this step; null if none does. */
  median_time_ms: number | null
}
export const funnel = (scope: Scope, body: FunnelBody) => post<Fresh & { steps: FunnelStep[] }>('/v1/order/funnel', { ...scope, ...body })

export interface EndFeature extends Feature {
  sessions: number
}
export const entries = (scope: Scope) => get<Fresh & { entries: EndFeature[] }>('/v1/order/entries', { ...scope, limit: 10_000 })
export const exits = (scope: Scope) => get<Fresh & { exits: EndFeature[] }>('/v1/order/exits', { ...scope, limit: 10_000 })

// Sessions and events

export interface StoredEvent extends Feature {
  event_id: string
  session_id: string
  app: string
  timestamp: string
  received_at: string
  sent_at: string | null
  partition: number
  offset: number
  schema_version: number
  /** Of the request that brought it. */
  traceparent: string | null
  /** JSON, as its sender wrote it. */
  data: string
}
interface EventPage extends Fresh {
  events: StoredEvent[]
  /** The `cursor` of the next page; null at the end. */
  next_cursor: string | null
}
/** The whole session, however few of its events the page has. */
export interface WholeSession {
  events: number
  first_seen: string
  last_seen: string
}
export const session = (id: string, limit: number) => get<EventPage & { session: WholeSession }>(`/v1/sessions/${encodeURIComponent(id)}`, { limit }, ['data'])

export type ListOrder = 'newest' | 'oldest'
export interface EventsQuery {
  session_id?: string | null
  order?: ListOrder
  limit?: number
  cursor?: string | null
}
export const events = (scope: Scope, query: EventsQuery) => get<EventPage>('/v1/events', { ...scope, ...query }, ['data'])

/** What streams of all events are called, by their media type. */
export const EXPORTS = [
  { label: 'NDJSON', accept: 'application/x-ndjson', file: 'events.ndjson' },
  { label: 'CSV', accept: 'text/csv', file: 'events.csv' },
  { label: 'Parquet', accept: 'application/vnd.apache.parquet', file: 'events.parquet' },
]

// Problems

export interface Reason {
  code: string
  /** JSON pointer from the root of the event; empty for the record as a whole. */
  pointer: string
  keyword: string
  message: string
}
export const REASONS = [
  'empty_record', 'record_too_large', 'invalid_json', 'not_an_object', 'missing_field', 'invalid_field',
  'future_timestamp', 'timestamp_out_of_range', 'unknown_event_type', 'data_invalid', 'unknown_application',
]

export interface Rejection extends Feature {
  partition: number
  offset: number
  event_id: string
  session_id: string
  app: string
  received_at: string
  schema_version: number
  reasons: Reason[]
  /** How many there were; 16 are kept. */
  reasons_total: number
  /** The first 64 KiB; what is not UTF-8 is replaced. */
  raw: string
  /** The same bytes exactly, where `raw` can't hold them. */
  raw_base64: string | null
  raw_bytes: number
}
export interface ProblemsQuery {
  reason?: string | null
  limit?: number
  cursor?: string | null
}
export const rejections = (scope: Scope, query: ProblemsQuery) => get<Fresh & { rejections: Rejection[]; next_cursor: string | null }>('/v1/rejections', { ...scope, ...query })

export interface RejectionCount extends Feature {
  reason: string
  app: string
  /** A record with several reasons counts under each. */
  records: number
  first_seen: string
  last_seen: string
}
export const rejectionsSummary = (scope: Scope, reason?: string | null) => get<Fresh & { summary: RejectionCount[] }>('/v1/rejections/summary', { ...scope, reason })

export interface RejectionBucket {
  start: string
  /** A record with several reasons counts once here, and under each of them below. */
  records: number
  reasons: { reason: string; records: number }[]
}
export const rejectionsSeries = (scope: Scope, reason: string | null, interval: Interval) => keeping(get<Fresh & { series: RejectionBucket[] }>('/v1/rejections/series', { interval, ...scope, reason }), { interval })

export interface Fate extends Feature {
  event_id: string
  verdict: 'accepted' | 'rejected' | 'duplicate' | 'erased' | 'erasure'
  session_id: string | null
  timestamp: string | null
  received_at: string
  log_time: string
  partition: number
  offset: number
  schema_version: number
  app: string
  traceparent: string | null
  /** JSON, as its sender wrote it; null unless the event was accepted. */
  data: string | null
  reasons: Reason[]
  raw: string | null
  raw_base64: string | null
  /** Other records with the same event id. */
  others: { partition: number; offset: number; verdict: string; received_at: string }[]
}
export const fate = (id: string) => get<Fresh & Fate>(`/v1/events/${encodeURIComponent(id)}`, {}, ['data'])

// Retention

export interface Cohort {
  start: string
  sessions: number
  /** Sessions with an event 0, 1, 2, ... intervals after their first; null of what is still to come. */
  returned: (number | null)[]
}
export const retention = (scope: Scope, interval: 'day' | 'week') => keeping(get<Fresh & { cohorts: Cohort[] }>('/v1/retention', { interval, periods: 12, ...scope }), { interval })

// Operations

export interface Verdicts {
  accepted: number
  rejected: number
  duplicate: number
  /** Offsets that the log itself leaves out, such as transaction markers. */
  absent: number
  /** Records of sessions that are erased. */
  erased: number
  /** Requests to erase a session. */
  erasure: number
}
export interface PartitionAudit {
  partition: number
  /** First offset of which events and rejections are kept; 0 without retention. */
  kept_from: number
  log_start: number | null
  log_end: number | null
  ledger_start: number
  ledger_end: number
  lag: number | null
  gaps: [number, number][]
  overlaps: number
  verdicts: Verdicts
  events: number
  rejections: number
  adds_up: boolean
  problems: string[]
}
export const audit = () => get<Fresh & { adds_up: boolean; log_compared: boolean; verdicts: Verdicts; partitions: PartitionAudit[] }>('/v1/audit')

export interface PartitionHealth {
  partition: number
  log_start: number | null
  log_end: number | null
  position: number
  sequences_position: number
  lag: number | null
}
export interface Health {
  generation: string
  log_reachable: boolean
  /** Offsets that the tables lack; null if no broker answered. */
  lag: number | null
  /** Offsets that the answers about order lack and the others have. */
  sequences_lag: number
  freshness_seconds: number | null
  sequences_as_of: AsOf
  now: string
  partitions: PartitionHealth[]
}
export const health = () => get<Fresh & Health>('/v1/health')

export interface EventType extends Feature {
  description: string | null
  /** The newest: the one that judges. */
  version: number
  /** `schema` and `event` are JSON, as they are in the files; null is null. */
  versions: { version: number; schema: string }[]
  examples: { valid: boolean; event: string | null; reasons: string[] }[]
  /** JSON pointers into `data`. */
  personal: string[]
  events: number
  sessions: number
  first_seen: string | null
  last_seen: string | null
}
export const eventTypes = () => get<Fresh & { event_types: EventType[] }>('/v1/event-types', {}, ['schema', 'event'])

export interface LiveVerdict extends Feature {
  partition: number
  offset: number
  verdict: 'accepted' | 'rejected' | 'duplicate'
  event_id: string
  session_id: string
  timestamp: string
  received_at: string
  app: string
  /** JSON, as its sender wrote it. */
  data: string | null
  reasons: Reason[]
}
/** Server-sent events: `accepted`, `rejected`, `duplicate` (a `LiveVerdict`), `as_of`, `skipped`. */
export const live = (): Question<never> => ({ method: 'GET', path: '/v1/live', verbatim: ['data'] })
