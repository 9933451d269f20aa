/** Buckets by index, both inclusive, and the events of all others. */
export interface Bulk {
  first: number
  last: number
  outside: number
}

/**
 * The part with nearly all events, if it is less than half of the range: a few events far away (a sender's clock, a first
 * try) leave the others no room in a chart. At most one event in a thousand, or a single one, lies outside.
 */
export function bulk(series: { events: number }[]): Bulk | null {
  const total = series.reduce((sum, { events }) => sum + events, 0)
  const most = Math.max(1, Math.floor(total / 1000))
  let [first, last, outside] = [0, series.length - 1, 0]
  while (first < last) {
    const [left, right] = [series[first]!.events, series[last]!.events]
    if (outside + Math.min(left, right) > most) break
    outside += Math.min(left, right)
    if (left <= right) first++
    else last--
  }
  const isBulk = total - outside > outside && (last - first + 1) * 2 < series.length
  return isBulk ? { first, last, outside } : null
}
