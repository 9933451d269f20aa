/**
 * Each question as ClickHouse SQL over the views of the database `eye`, for an analyst to start from.
 * The API answers from faster tables; these texts give the same figures from `eye.events` alone.
 */
import type { Feature } from './feature'
import type { Interval, Scope } from './scope'

const text = (value: string) => `'${value.replace(/[\\']/g, '\\$&')}'`
const feature = ({ category, name }: Feature) => `(${text(category)}, ${text(name)})`
const instant = (rfc: string) => `parseDateTime64BestEffort(${text(rfc)}, 6, 'UTC')`

const within = (scope: Scope, time: string) => [
  ...(scope.from ? [`${time} >= ${instant(scope.from)}`] : []),
  ...(scope.to ? [`${time} < ${instant(scope.to)}`] : []),
]

/** `WHERE ...` of the scope, or nothing; `time` is the column that the range is about. */
function where(scope: Scope, time = 'timestamp', more: string[] = []): string {
  const terms = [
    ...within(scope, time),
    ...(['app', 'category', 'name'] as const).flatMap((column) => (scope[column] ? [`${column} = ${text(scope[column])}`] : [])),
    ...more,
  ]
  return terms.length ? `\nWHERE ${terms.join('\n  AND ')}` : ''
}

export const features = (scope: Scope, order: 'most' | 'least', by: 'events' | 'sessions', limit?: number) =>
  `SELECT category, name, count() AS events, uniqExact(session_id) AS sessions,
    min(timestamp) AS first_seen, max(timestamp) AS last_seen
FROM eye.events${where(scope)}
GROUP BY category, name
ORDER BY ${by} ${order === 'most' ? 'DESC' : 'ASC'}, category, name${limit ? `\nLIMIT ${limit}` : ''}`

/** The tables don't have the declared event types, so they are part of the question. */
export const unused = ({ from, to, ...who }: Scope, declared: Feature[]) =>
  `WITH uses AS
(
    SELECT category, name, count${from || to ? `If(${within({ from, to }, 'timestamp').join(' AND ')})` : '()'} AS in_range, toNullable(max(timestamp)) AS last_seen
    FROM eye.events${where(who).replaceAll('\n', '\n    ')}
    GROUP BY category, name
)
SELECT category, name, last_seen
FROM ${values(declared)} AS declared
LEFT JOIN uses USING (category, name)
WHERE in_range = 0
ORDER BY category, name`

const values = (features: Feature[]) => `values('category String, name String',
    ${features.map(feature).join(',\n    ')})`

/** The declared event types are part of the question, as for `unused`. */
export const eventTypes = (declared: Feature[]) =>
  `WITH uses AS
(
    SELECT category, name, count() AS events, uniqExact(session_id) AS sessions,
        toNullable(min(timestamp)) AS first_seen, toNullable(max(timestamp)) AS last_seen
    FROM eye.events
    GROUP BY category, name
)
SELECT category, name, events, sessions, first_seen, last_seen
FROM ${values(declared)} AS declared
LEFT JOIN uses USING (category, name)
ORDER BY category, name`

export const apps = (scope: Scope) =>
  `SELECT app, count() AS events, uniqExact(session_id) AS sessions, min(timestamp) AS first_seen, max(timestamp) AS last_seen
FROM eye.events${where(scope)}
GROUP BY app
ORDER BY events DESC, app`

const START: Record<Interval, (time: string) => string> = {
  minute: (time) => `toStartOfMinute(${time})`,
  hour: (time) => `toStartOfHour(${time})`,
  day: (time) => `toStartOfDay(${time})`,
  week: (time) => `toStartOfWeek(${time}, 1)`,
  month: (time) => `toStartOfMonth(${time})`,
}

/** With the empty buckets of the range. Without a bound, they go from the first row, or to the last row. */
function byStart(scope: Scope, interval: Interval): string {
  const [start, step] = [START[interval], `INTERVAL 1 ${interval.toUpperCase()}`]
  const from = scope.from ? ` FROM ${start(instant(scope.from))}` : ''
  const to = scope.to ? ` TO ${start(`${instant(scope.to)} - INTERVAL 1 MICROSECOND`)} + ${step}` : ''
  return `GROUP BY start
ORDER BY start WITH FILL${from}${to} STEP ${step}`
}

export const usage = (scope: Scope, interval: Interval) =>
  `SELECT ${START[interval]('timestamp')} AS start, count() AS events, uniqExact(session_id) AS sessions
FROM eye.events${where(scope)}
${byStart(scope, interval)}`

export const transitions = (scope: Scope) =>
  `SELECT from_category, from_name, to_category, to_name, count() AS count, uniqExact(session_id) AS sessions,
    quantileExactInclusive(0.5)(gap_us) / 1000 AS median_gap_ms
FROM
(
    SELECT session_id, category AS to_category, name AS to_name,
        lagInFrame(category) OVER session AS from_category, lagInFrame(name) OVER session AS from_name,
        toUnixTimestamp64Micro(timestamp) - lagInFrame(toUnixTimestamp64Micro(timestamp)) OVER session AS gap_us,
        row_number() OVER session AS place
    FROM eye.events${where(scope).replaceAll('\n', '\n    ')}
    WINDOW session AS (PARTITION BY session_id ORDER BY timestamp, partition, offset ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
WHERE place > 1
GROUP BY from_category, from_name, to_category, to_name
ORDER BY count DESC, from_category, from_name, to_category, to_name`

export const precedence = (scope: Scope) =>
  `WITH uses AS
(
    SELECT session_id, (category, name) AS feature, min((timestamp, partition, offset)) AS at
    FROM eye.events${where(scope).replaceAll('\n', '\n    ')}
    GROUP BY session_id, feature
)
SELECT a.feature AS first, b.feature AS \`then\`, countIf(a.at < b.at) AS sessions, count() AS both
FROM uses AS a INNER JOIN uses AS b ON a.session_id = b.session_id
WHERE a.feature != b.feature
GROUP BY first, \`then\`
HAVING sessions > 0
ORDER BY sessions DESC, first, \`then\``

/** A row for each session: its features in order. */
const histories = (scope: Scope, more: string[] = []) => `WITH histories AS
(
    SELECT session_id, arrayMap(event -> event.4, arraySort(groupArray((timestamp, partition, offset, (category, name))))) AS features
    FROM eye.events${where(scope, 'timestamp', more).replaceAll('\n', '\n    ')}
    GROUP BY session_id
)`

/** For the sessions that lie in the range as a whole. */
const wholeHistories = ({ from, to, ...who }: Scope) => {
  const inRange = [...within({ from }, 'min(timestamp)'), ...within({ to }, 'max(timestamp)')].join(' AND ')
  return histories(who, inRange ? [`session_id IN (SELECT session_id FROM eye.events GROUP BY session_id HAVING ${inRange})`] : [])
}

export interface PathsSql {
  length?: number
  start?: Feature
  through?: Feature
  end?: Feature
  whole_session?: boolean
  limit: number
}

export function paths(scope: Scope, { length, start, through, end, whole_session, limit }: PathsSql): string {
  const terms = [
    ...(start ? [`steps[1] = ${feature(start)}`] : []),
    ...(through ? [`has(steps, ${feature(through)})`] : []),
    ...(end ? [`steps[-1] = ${feature(end)}`] : []),
  ]
  const filter = terms.length ? `\nWHERE ${terms.join(' AND ')}` : ''
  const windows = whole_session
    ? `SELECT features AS steps, count() AS count, uniqExact(session_id) AS sessions
FROM histories`
    : `SELECT arraySlice(features, place, ${length}) AS steps, count() AS count, uniqExact(session_id) AS sessions
FROM histories ARRAY JOIN range(1, toInt64(length(features)) - ${length} + 2) AS place`
  return `${whole_session ? wholeHistories(scope) : histories(scope)}
${windows}${filter}
GROUP BY steps
ORDER BY count DESC, steps
LIMIT ${limit}`
}

/** The steps from each use of `start` (or back from `end`). An empty feature means that the session has ended. */
export function flow(scope: Scope, { start, end, length }: { start?: Feature; end?: Feature; length: number }): string {
  const from = end ? '(SELECT arrayReverse(features) AS features FROM histories)' : 'histories'
  return `${histories(scope)},
windows AS
(
    SELECT arraySlice(features, place, ${length}) AS steps
    FROM ${from} ARRAY JOIN arrayEnumerate(features) AS place
    WHERE features[place] = ${feature((end ?? start)!)}
)
SELECT step, steps[step] AS feature, steps[step + 1] AS ${end ? 'before' : 'after'}, count() AS count
FROM windows ARRAY JOIN range(1, least(toInt64(length(steps)), ${length - 1}) + 1) AS step
GROUP BY ALL
ORDER BY step, count DESC, feature, ${end ? 'before' : 'after'}`
}

export interface FunnelSql {
  steps: Feature[]
  windowMs: number | null
  start: 'any' | 'first'
  exclude: Feature[]
}

/** Every start of step 1 is tried, each later step at its earliest event; an excluded feature ends a try. */
export function funnel(scope: Scope, { steps, windowMs, start, exclude }: FunnelSql): string {
  const within = windowMs === null ? '' : ` AND event.1 - events[place].1 <= ${windowMs * 1000}`
  const step = `event.2 = steps[length(tried.2) + 1]${within}, (0, arrayPushBack(tried.2, event.1))`
  const ended = exclude.length ? `\n                    event.2 IN (${exclude.map(feature).join(', ')}), (1, tried.2),` : ''
  const starts = `arrayFilter(place -> events[place].2 = steps[1], arrayEnumerate(events))`
  return `WITH [${steps.map(feature).join(', ')}] AS steps,
histories AS
(
    SELECT session_id, arrayMap(event -> (toUnixTimestamp64Micro(event.1), event.4),
        arraySort(groupArray((timestamp, partition, offset, (category, name))))) AS events
    FROM eye.events${where(scope).replaceAll('\n', '\n    ')}
    GROUP BY session_id
),
tries AS
(
    SELECT session_id,
        arrayMap(place -> arrayFold((tried, event) -> multiIf(
                    tried.1 = 1 OR length(tried.2) = length(steps), tried,${ended}
                    ${step},
                    tried),
                arraySlice(events, place + 1), (0, [events[place].1])).2,
            ${start === 'first' ? `arraySlice(${starts}, 1, 1)` : starts}) AS tries
    FROM histories
    WHERE arrayExists(event -> event.2 = steps[1], events)
)
SELECT step, steps[step].1 AS category, steps[step].2 AS name, countIf(notEmpty(times)) AS sessions,
    quantileExactInclusiveIf(0.5)(times[step] - times[1], notEmpty(times)) / 1000 AS median_time_ms
FROM
(
    SELECT step, arrayFirst(times -> length(times) >= step, tries) AS times
    FROM tries ARRAY JOIN arrayEnumerate(steps) AS step
)
GROUP BY step
ORDER BY step`
}

/** The first (or last) event of each session, if it passes the filters. */
export const ends = (scope: Scope, which: 'entries' | 'exits') =>
  `WITH event.1 AS category, event.2 AS name, event.3 AS app, event.4 AS timestamp
SELECT category, name, count() AS sessions
FROM
(
    SELECT ${which === 'entries' ? 'argMin' : 'argMax'}((category, name, app, timestamp), (timestamp, partition, offset)) AS event
    FROM eye.events
    GROUP BY session_id
)${where(scope)}
GROUP BY category, name
ORDER BY sessions DESC, category, name`

export const session = (id: string) =>
  `SELECT timestamp, app, category, name, data, event_id, partition, offset
FROM eye.events
WHERE session_id = ${text(id)}
ORDER BY timestamp, partition, offset`

export const events = (scope: Scope, { session_id, order = 'newest', limit }: { session_id?: string | null; order?: 'newest' | 'oldest'; limit: number }) => {
  const direction = order === 'newest' ? ' DESC' : ''
  return `SELECT timestamp, app, category, name, session_id, event_id, data, partition, offset
FROM eye.events${where(scope, 'timestamp', session_id ? [`session_id = ${text(session_id)}`] : [])}
ORDER BY timestamp${direction}, partition${direction}, offset${direction}
LIMIT ${limit}`
}

export const rejections = (scope: Scope, reason: string | null, limit: number) =>
  `SELECT received_at, app, category, name, reasons, partition, offset, raw
FROM eye.rejections${where(scope, 'received_at', reason ? [`has(reasons.code, ${text(reason)})`] : [])}
ORDER BY received_at DESC, partition DESC, offset DESC
LIMIT ${limit}`

export const rejectionsSummary = (scope: Scope, reason: string | null) =>
  `SELECT reason, app, category, name, count() AS records, min(received_at) AS first_seen, max(received_at) AS last_seen
FROM eye.rejections
ARRAY JOIN arrayDistinct(reasons.code) AS reason${where(scope, 'received_at', reason ? [`reason = ${text(reason)}`] : [])}
GROUP BY reason, app, category, name
ORDER BY records DESC, reason, app, category, name`

export const rejectionsSeries = (scope: Scope, reason: string | null, interval: Interval) =>
  `SELECT ${START[interval]('received_at')} AS start, count() AS records,
    sumMap(mapFromArrays(${reason ? `[${text(reason)}], [1]` : 'arrayDistinct(reasons.code) AS codes, arrayMap(code -> 1, codes)'})) AS by_reason
FROM eye.rejections${where(scope, 'received_at', reason ? [`has(reasons.code, ${text(reason)})`] : [])}
${byStart(scope, interval)}`

export const audit = () =>
  `SELECT partition, min(offset) AS first, max(offset) AS last, count() AS verdicts,
    last - first + 1 - uniqExact(offset) AS missing, count() - uniqExact(offset) AS doubled,
    countIf(verdict = 'accepted') AS accepted, countIf(verdict = 'rejected') AS rejected,
    countIf(verdict = 'duplicate') AS duplicate, countIf(verdict = 'absent') AS absent,
    countIf(verdict = 'lost') AS lost, countIf(verdict = 'erased') AS erased,
    countIf(verdict = 'erasure') AS erasure
FROM eye.ledger
GROUP BY partition
ORDER BY partition`

/** The tables don't have the end of the log, so it is part of the question, as it was when the page asked. */
export const lag = (partitions: { partition: number; log_start: number | null; log_end: number | null }[]) =>
  `SELECT partition, log_end, position, sequences_position, log_end - least(log_end, greatest(position, log_start)) AS lag
FROM values('partition UInt16, log_start Nullable(UInt64), log_end Nullable(UInt64)',
    ${partitions.map(({ partition, log_start, log_end }) => `(${partition}, ${log_start}, ${log_end})`).join(',\n    ')}) AS log
LEFT JOIN eye.positions USING (partition)
ORDER BY partition`

export const fate = (eventId: string) =>
  `SELECT partition, offset, verdict, session_id, timestamp, received_at, log_time, schema_version, first_offset
FROM eye.ledger
WHERE event_id = ${text(eventId)}
ORDER BY partition, offset`

/** The cohort of a session is that of its first event. */
export const retention = ({ from, ...scope }: Scope, interval: 'day' | 'week') => {
  const start = interval === 'day' ? 'toDate' : 'toMonday'
  return `SELECT ${start}(began) AS start, dateDiff('${interval}', start, ${start}(timestamp)) AS later, uniqExact(session_id) AS sessions
FROM
(
    SELECT session_id, timestamp, app, category, name, min(timestamp) OVER (PARTITION BY session_id) AS began
    FROM eye.events
)${where(scope, 'timestamp', within({ from }, 'began'))}
GROUP BY start, later
ORDER BY start, later`
}
