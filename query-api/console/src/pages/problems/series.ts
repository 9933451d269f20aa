import type { Rejection } from '../../api'
import { bucketEnd, bucketStart, fittingInterval, type Interval } from '../../scope'

export interface Series {
  interval: Interval
  starts: string[]
  /** Reason to its count in each bucket; the most frequent reason first. */
  reasons: [string, number[]][]
}

/** Records by the time of receipt, each once under each of its reasons (or under `only`). Not for none at all. */
export function seriesOf(records: Pick<Rejection, 'received_at' | 'reasons'>[], only: string | null): Series {
  const times = records.map(({ received_at }) => Date.parse(received_at))
  const [first, last] = [Math.min(...times), Math.max(...times)]
  const interval = fittingInterval(last - first, 60)
  const starts: string[] = []
  // As numbers: as texts, a start on the full second is not before a time with a fraction.
  for (let start = bucketStart(new Date(first).toISOString(), interval); Date.parse(start) <= last; start = bucketEnd(start, interval)) starts.push(start)
  const place = new Map(starts.map((start, index) => [start, index]))
  const reasons = new Map<string, number[]>()
  for (const { received_at, reasons: found } of records)
    for (const code of new Set(found.map(({ code }) => code))) {
      if (only && code !== only) continue
      const counts = reasons.get(code) ?? starts.map(() => 0)
      counts[place.get(bucketStart(received_at, interval))!]!++
      reasons.set(code, counts)
    }
  const total = (counts: number[]) => counts.reduce((sum, n) => sum + n, 0)
  return { interval, starts, reasons: [...reasons].sort(([, a], [, b]) => total(b) - total(a)) }
}
