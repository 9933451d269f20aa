import * as api from '../../api'
import { useAnswer } from '../../ask'
import { Chart, tooltip } from '../../charts/chart'
import { brief, bucket, count, plural } from '../../format'
import { setParams } from '../../router'
import { bucketEnd, inRange, type Interval, type Scope } from '../../scope'
import * as sql from '../../sql'
import { Panel } from '../../ui/panel'
import { Table } from '../../ui/table'
import { seriesOf } from './series'

/** The most records that one answer has. */
const LIMIT = 1000

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
