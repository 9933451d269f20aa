import * as api from '../../api'
import type { RejectionBucket, RejectionCount } from '../../api'
import { useAnswer, type Answer } from '../../ask'
import { Chart, tooltip } from '../../charts/chart'
import { brief, bucket, count, plural } from '../../format'
import type { AsOf } from '../../moment'
import { setParams } from '../../router'
import { bucketEnd, fittingInterval, inRange, type Interval, type Scope } from '../../scope'
import * as sql from '../../sql'
import { Panel } from '../../ui/panel'
import { Table } from '../../ui/table'
import { NothingRejected } from './summary'

interface Props {
  scope: Scope
  reason: string | null
  /** When the first and the last rejection of the scope was. */
  summary: Answer<{ summary: RejectionCount[]; as_of: AsOf }>
}

/** Rejected records by the time of receipt, each under its reasons. */
export function OverTime({ scope, reason, summary }: Props) {
  const lines = summary.loading ? [] : (summary.value?.summary ?? [])
  const [first, last] = [lines.map(({ first_seen }) => first_seen).sort()[0], lines.map(({ last_seen }) => last_seen).sort().at(-1)]
  const interval = fittingInterval(first && last ? Date.parse(scope.to ?? last) - Date.parse(scope.from ?? first) : 0, 60)
  const question = lines.length ? api.rejectionsSeries(scope, reason, interval) : null
  const series = useAnswer(question)
  // If nothing was rejected, there is nothing to ask. While the summary is under way, that is not known.
  const answer: typeof series = question ? series : { ...summary, value: summary.loading ? series.value : summary.value && { ...summary.value, series: [], interval } }
  const look = (start: string, interval: Interval) => setParams(inRange(start, bucketEnd(start, interval)))
  return (
    <Panel
      title="Over time"
      class="over-time"
      question={question}
      answer={answer}
      sql={question ? sql.rejectionsSeries(scope, reason, interval) : undefined}
      isEmpty={({ series }) => !series.length}
      empty={<NothingRejected />}
      chart={({ series, interval }) => (
        <Chart
          label={`Rejections by ${interval} and reason, ${plural(series.reduce((sum, { records }) => sum + records, 0), 'record')}. The table has the figures.`}
          height={190}
          data={series}
          onPick={(index) => series[index] && look(series[index].start, interval)}
          option={(colours) => ({
            grid: { left: 4, right: 8, top: 34, bottom: 4, outerBoundsMode: 'same' },
            legend: { left: 0, top: 0, type: 'scroll', icon: 'roundRect', itemWidth: 12, itemHeight: 8, textStyle: { color: colours.muted } },
            tooltip: { ...tooltip(colours), trigger: 'axis', axisPointer: { type: 'shadow' } },
            xAxis: { type: 'category', data: series.map(({ start }) => bucket(start, interval)), axisLine: { lineStyle: { color: colours.line } }, axisTick: { show: false }, axisLabel: { color: colours.muted, hideOverlap: true } },
            yAxis: { type: 'value', minInterval: 1, axisLabel: { color: colours.muted, formatter: brief }, splitLine: { lineStyle: { color: colours.line } } },
            series: reasonsOf(series).map((name, index) => ({ name, type: 'bar', stack: 'all', data: series.map((bucket) => of(bucket, name)), color: colours.categories[(index + 4) % 8], barMaxWidth: 28, cursor: 'pointer' })),
          })}
        />
      )}
      table={({ series, interval }) => (
        <Table
          caption="Rejections over time"
          rows={series}
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
            ...reasonsOf(series).map((name) => ({ label: name, number: true, cell: (bucket: RejectionBucket) => count(of(bucket, name)) })),
          ]}
        />
      )}
    />
  )
}

const of = ({ reasons }: RejectionBucket, name: string) => reasons.find(({ reason }) => reason === name)?.records ?? 0

/** The most frequent one first. */
function reasonsOf(series: RejectionBucket[]): string[] {
  const totals = new Map<string, number>()
  for (const { reasons } of series) for (const { reason, records } of reasons) totals.set(reason, (totals.get(reason) ?? 0) + records)
  return [...totals].sort(([, a], [, b]) => b - a).map(([reason]) => reason)
}
