import { SHARED, type Change } from './router'

/** The filters that every question takes; absent means all. Times are RFC 3339, `to` is exclusive. */
export interface Scope {
  from?: string
  to?: string
  app?: string
  category?: string
  name?: string
}

export type Filter = 'range' | 'app' | 'category' | 'name' | 'reason' | 'session_id'

export const PRESETS: { last: string; label: string; ms: number }[] = [
  { last: '1h', label: 'Last hour', ms: 3_600_000 },
  { last: '24h', label: 'Last 24 hours', ms: 86_400_000 },
  { last: '7d', label: 'Last 7 days', ms: 7 * 86_400_000 },
  { last: '30d', label: 'Last 30 days', ms: 30 * 86_400_000 },
  { last: '90d', label: 'Last 90 days', ms: 90 * 86_400_000 },
]

/** What the address says of these filters. No range means all time: the data may be years old. */
export function scopeOf(params: URLSearchParams, filters: Filter[], now = Date.now()): Scope {
  const scope: Scope = {}
  const preset = PRESETS.find(({ last }) => last === params.get('last'))
  if (!filters.includes('range')) {
    // All time.
  } else if (preset) {
    // A whole minute, so that drawing the page again asks the same question again. Days are whole days (UTC):
    // use by day is counted in advance, so the answer comes at once.
    const unit = preset.ms > 86_400_000 ? 86_400_000 : 60_000
    scope.from = rfc3339(Math.floor(now / unit) * unit - preset.ms)
  } else {
    const from = toRfc3339(params.get('from'))
    const to = toRfc3339(params.get('to'))
    if (from) scope.from = from
    if (to) scope.to = to
  }
  for (const filter of ['app', 'category', 'name'] as const) {
    const value = params.get(filter)
    if (value && filters.includes(filter)) scope[filter] = value
  }
  return scope
}

/** A filter of the address, which the page shows and a press removes. */
export interface Chip {
  label: string
  value: string
  /** Its parameter, and the value as it is in the address. */
  name: string
  raw: string
  /** `unused`: the page has no such filter, or another one counts; `unread`: it can't be read, so it filters nothing. */
  state: 'applied' | 'unused' | 'unread'
}

type Values = readonly string[] | ((value: string) => unknown)
interface Rule {
  of: Values
  many?: boolean
  unless?: string
}

/**
 * The values that a page understands, for each parameter that it has beside the time range and the filters of events. With
 * `many` all values count, else the first one. No value counts if the address has the parameter that `unless` names.
 */
export type Known = Record<string, Values | Rule>

const FILTERS: [Filter, string, string][] = [
  ['range', 'last', 'Time'],
  ['range', 'from', 'From'],
  ['range', 'to', 'To'],
  ['app', 'app', 'Application'],
  ['category', 'category', 'Category'],
  ['name', 'name', 'Name'],
  ['reason', 'reason', 'Reason'],
  ['session_id', 'session_id', 'Session'],
]

/**
 * Every filter of the address, whether it narrows the figures or not; and the other parameters that have no effect.
 */
export function chipsOf(params: URLSearchParams, filters: Filter[], known?: Known): Chip[] {
  const presetOf = (value: string | null) => PRESETS.find(({ last }) => last === value)
  const rule = (name: string): Rule => {
    // Not known before the page is loaded.
    const rule = known ? (known[name] ?? []) : { of: () => true, many: true }
    return 'of' in rule ? rule : { of: rule }
  }
  const understood = (name: string, value: string): boolean => {
    const { of } = rule(name)
    return typeof of === 'function' ? !!of(value) : of.includes(value)
  }
  const chips: Chip[] = []
  for (const name of new Set([...FILTERS.map(([, name]) => name), ...params.keys()]))
    [...new Set(params.getAll(name))].forEach((raw, place) => {
      if (!raw) return
      const [filter, , label] = FILTERS.find((filter) => filter[1] === name) ?? [null, name, name]
      const chip = (state: Chip['state'], value = raw) => chips.push({ label, value, name, raw, state })
      const applied = place === 0 && filters.includes(filter!) ? 'applied' : 'unused'
      if (name === 'last') chip(presetOf(raw) ? applied : 'unread', presetOf(raw)?.label)
      else if (name === 'from' || name === 'to') {
        const rfc = toRfc3339(raw)
        if (rfc) chip(presetOf(params.get('last')) ? 'unused' : applied, `${toInput(rfc).replace('T', ' ')} UTC`)
        else chip('unread')
      } else if (filter) chip(applied === 'unused' || SHARED.includes(name) || understood(name, raw) ? applied : 'unread')
      else if (!understood(name, raw)) chip('unread')
      else {
        const { many, unless } = rule(name)
        if ((place > 0 && !many) || (unless && understood(unless, params.get(unless) ?? ''))) chip('unused')
      }
    })
  return chips
}

/** Removes these filters from the address, and the page of the list that they made. */
export function without(params: URLSearchParams, chips: Chip[]): Change {
  const change: Change = { cursor: null }
  for (const { name } of chips) change[name] = params.getAll(name).filter((value) => !chips.some((chip) => chip.name === name && chip.raw === value))
  return change
}

/** Sets another range, and the first page of a list. */
export const inRange = (from: string | null, to: string | null): Change => ({ last: null, from, to, cursor: null })

/** `2024-03-01` or `2024-03-01T10:00` (UTC) or RFC 3339 as RFC 3339 UTC; null if it is no time. */
export function toRfc3339(text: string | null | undefined): string | null {
  if (!text) return null
  const zoned = /(Z|[+-]\d\d:\d\d)$/.test(text) ? text : text.includes('T') ? `${text}Z` : `${text}T00:00Z`
  const ms = Date.parse(zoned)
  if (Number.isNaN(ms)) return null
  return /\.\d{4,}Z$/.test(zoned) ? zoned : rfc3339(ms)
}

/** In the form of an `<input type="datetime-local">`. */
export const toInput = (rfc: string | undefined): string => (rfc ? rfc.slice(0, 19).replace(/:00$/, '') : '')

export const rfc3339 = (ms: number): string => new Date(ms).toISOString().replace(/\.000Z$/, 'Z')

export const INTERVALS = ['minute', 'hour', 'day', 'week', 'month'] as const
export type Interval = (typeof INTERVALS)[number]

const LENGTH: Record<Interval, number> = { minute: 60e3, hour: 3600e3, day: 86400e3, week: 7 * 86400e3, month: 30 * 86400e3 }

/** The finest interval that draws at most `most` buckets over the span. */
export function fittingInterval(spanMs: number, most = 200): Interval {
  return INTERVALS.find((interval) => spanMs / LENGTH[interval] <= most) ?? 'month'
}

/** The first instant after the bucket that starts at `start`. */
export function bucketEnd(start: string, interval: Interval): string {
  const date = new Date(start)
  if (interval === 'month') date.setUTCMonth(date.getUTCMonth() + 1)
  else date.setTime(date.getTime() + LENGTH[interval])
  return rfc3339(date.getTime())
}
