import * as api from '../../api'
import type { Rejection } from '../../api'
import { useAnswer } from '../../ask'
import { Chart, tooltip } from '../../charts/chart'
import { brief, bucket, count, plural } from '../../format'
import { setParams } from '../../router'
import { bucketEnd, bucketStart, fittingInterval, inRange, type Interval, type Scope } from '../../scope'
import * as sql from '../../sql'
import { Panel } from '../../ui/panel'
import { Table } from '../../ui/table'

/** The most records that one answer has. */
const LIMIT = 1000

interface Series {
  interval: Interval
  starts: string[]
  /** Reason to its count in each bucket; the most frequent reason first. */
  reasons: [string, number[]][]
}

/** The last rejected records by the time of receipt, each under its reasons. */
export function OverTime({ scope, reason }: { scope: Scope; reason: string | null }) {
  const question = api.rejections(scope, { reason, limit: LIMIT })
  const answer = useAnswer(question)
  const cut = answer.value?.next_cursor
  const look = (start: string, interval: Interval) => setParams({ ...inRange(start, bucketEnd(start, interval)), cursor: null })
  return (
    <Panel
      title="Over time"
      class="over-time"
      note={cut ? `The last ${count(LIMIT)} rejected records; choose an earlier time range to see those before.` : undefined}
      question={question}
      answer={answer}
      sql={sql.rejections(scope, reason, LIMIT)}
      isEmpty={({ rejections }) => !rejections.length}
      empty={<p class="muted">No record was rejected in this range.</p>}
      chart={({ rejections }) => {
        const { interval, starts, reasons } = seriesOf(rejections, reason)
        return (
          <Chart
            label={`Rejections by ${interval} and reason, ${plural(rejections.length, 'record')}. The table has the figures.`}
            height={190}
            data={rejections}
            onPick={(index) => starts[index] && look(starts[index], interval)}
            option={(colours) => ({
              grid: { left: 4, right: 8, top: 34, bottom: 4, outerBoundsMode: 'same' },
              legend: { left: 0, top: 0, type: 'scroll', icon: 'roundRect', itemWidth: 12, itemHeight: 8, textStyle: { color: colours.muted } },
              tooltip: { ...tooltip(colours), trigger: 'axis', axisPointer: { type: 'shadow' } },
              xAxis: { type: 'category', data: starts.map((start) => bucket(start, interval)), axisLine: { lineStyle: { color: colours.line } }, axisTick: { show: false }, axisLabel: { color: colours.muted, hideOverlap: true } },
              yAxis: { type: 'value', minInterval: 1, axisLabel: { color: colours.muted, formatter: brief }, splitLine: { lineStyle: { color: colours.line } } },
              series: reasons.map(([name, data], index) => ({ name, type: 'bar', stack: 'all', data, color: colours.categories[(index + 4) % 8], barMaxWidth: 28, cursor: 'pointer' })),
            })}
          />
        )
      }}
      table={({ rejections }) => {
        const { interval, starts, reasons } = seriesOf(rejections, reason)
        return (
          <Table
            caption="Rejections over time"
            rows={starts.map((start, index) => ({ start, index }))}
            rowKey={({ start }) => start}
            columns={[
              {
                label: `Start of the ${interval}`,
                cell: ({ start }) => (
                  <button type="button" class="link" title="Look at this time only" onClick={() => look(start, interval)}>
                    {bucket(start, interval)}
                  </button>
                ),
              },
              ...reasons.map(([name, counts]) => ({ label: name, number: true, cell: ({ index }: { index: number }) => count(counts[index]!) })),
            ]}
          />
        )
      }}
    />
  )
}

function seriesOf(rejections: Rejection[], only: string | null): Series {
  const times = rejections.map(({ received_at }) => received_at).sort()
  const interval = fittingInterval(Date.parse(times.at(-1)!) - Date.parse(times[0]!), 60)
  const starts: string[] = []
  for (let start = bucketStart(times[0]!, interval); start <= times.at(-1)!; start = bucketEnd(start, interval)) starts.push(start)
  const place = new Map(starts.map((start, index) => [start, index]))
  const reasons = new Map<string, number[]>()
  for (const { received_at, reasons: found } of rejections)
    for (const code of new Set(found.map(({ code }) => code))) {
      if (only && code !== only) continue
      const counts = reasons.get(code) ?? starts.map(() => 0)
      counts[place.get(bucketStart(received_at, interval))!]!++
      reasons.set(code, counts)
    }
  const total = (counts: number[]) => counts.reduce((sum, n) => sum + n, 0)
  return { interval, starts, reasons: [...reasons].sort(([, a], [, b]) => total(b) - total(a)) }
}
