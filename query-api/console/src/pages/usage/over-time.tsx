import * as api from '../../api'
import { useAnswer } from '../../ask'
import { Chart, tooltip } from '../../charts/chart'
import { brief, bucket, count, plural } from '../../format'
import { setParams } from '../../router'
import { bucketEnd, INTERVALS, inRange, type Interval, type Scope } from '../../scope'
import * as sql from '../../sql'
import { Panel } from '../../ui/panel'
import { BarCell, Table } from '../../ui/table'
import { bulk } from './bulk'

/** How many bars are drawn at most. */
const MOST = 3000

/** Events and sessions by time. A press on a bucket leads to its range. */
export function OverTime({ scope, interval, onPick }: { scope: Scope; interval: Interval; onPick: (start: string, interval: Interval) => void }) {
  const question = api.usage(scope, interval)
  const answer = useAnswer(question)
  return (
    <Panel
      title="Over time"
      class="over-time"
      note={!answer.loading && answer.value && lookCloser(answer.value.series, answer.value.interval, scope)}
      controls={
        <label class="inline">
          by{' '}
          <select value={interval} onChange={(event) => setParams({ interval: event.currentTarget.value })}>
            {INTERVALS.map((interval) => (
              <option key={interval}>{interval}</option>
            ))}
          </select>
        </label>
      }
      question={question}
      answer={answer}
      sql={sql.usage(scope, interval)}
      isEmpty={({ series }) => !series.some(({ events }) => events)}
      chart={({ series, interval }) =>
        series.length > MOST ? (
          <TooMany series={series.length} interval={interval} />
        ) : (
          <Chart
            label={`Events and sessions by ${interval}, ${plural(series.length, interval)}. The table has the figures.`}
            height={230}
            data={series}
            onPick={(index) => series[index] && onPick(series[index].start, interval)}
            option={(colours) => ({
              grid: { left: 4, right: 8, top: 30, bottom: 4, outerBoundsMode: 'same' },
              legend: { right: 0, top: 0, icon: 'roundRect', itemWidth: 12, itemHeight: 8, textStyle: { color: colours.muted } },
              tooltip: { ...tooltip(colours), trigger: 'axis', axisPointer: { type: 'shadow' }, valueFormatter: (value) => count(Number(value)) },
              xAxis: {
                type: 'category',
                data: series.map(({ start }) => bucket(start, interval)),
                axisLine: { lineStyle: { color: colours.line } },
                axisTick: { show: false },
                axisLabel: { color: colours.muted, hideOverlap: true },
              },
              yAxis: [
                { type: 'value', minInterval: 1, axisLabel: { color: colours.muted, formatter: brief }, splitLine: { lineStyle: { color: colours.line } } },
                { type: 'value', minInterval: 1, axisLabel: { color: colours.categories[1], formatter: brief }, splitLine: { show: false } },
              ],
              series: [
                { name: 'Events', type: 'bar', data: series.map(({ events }) => events), color: colours.categories[0], barCategoryGap: '15%', cursor: 'pointer' },
                { name: 'Sessions (right scale)', type: 'line', yAxisIndex: 1, data: series.map(({ sessions }) => sessions), color: colours.categories[1], symbol: 'none', lineStyle: { width: 1.5 } },
              ],
            })}
          />
        )
      }
      table={({ series, interval }) => {
        const most = series.reduce((most, { events }) => Math.max(most, events), 0)
        return (
          <Table
            caption={`Events and sessions by ${interval}`}
            rows={series}
            rowKey={({ start }) => start}
            columns={[
              {
                label: `Start of the ${interval}`,
                sort: ({ start }) => start,
                cell: ({ start }) => (
                  <button type="button" class="link" title="Look at this time only" onClick={() => onPick(start, interval)}>
                    {bucket(start, interval)}
                  </button>
                ),
              },
              { label: 'Events', number: true, sort: ({ events }) => events, cell: ({ events }) => <BarCell value={events} of={most} /> },
              { label: 'Sessions', number: true, sort: ({ sessions }) => sessions, cell: ({ sessions }) => count(sessions) },
            ]}
          />
        )
      }}
    />
  )
}

/** More bars than pixels would block the page and show nothing. */
function TooMany({ series, interval }: { series: number; interval: Interval }) {
  const coarser = INTERVALS[INTERVALS.indexOf(interval) + 1]
  return (
    <div class="state">
      <p>
        <strong>
          {count(series)} {interval}s are too many to draw.
        </strong>{' '}
        Choose a shorter time range{coarser && ' or a longer interval'}. The table has them all.
      </p>
      {coarser && (
        <button type="button" onClick={() => setParams({ interval: coarser })}>
          By {coarser}
        </button>
      )}
    </div>
  )
}

/** Leads out of a chart that a few far-away events squeeze. */
function lookCloser(series: { start: string; events: number }[], interval: Interval, scope: Scope) {
  const found = bulk(series)
  if (!found) return null
  const [first, last] = [series[found.first]!.start, series[found.last]!.start]
  const end = bucketEnd(last, interval)
  // A bucket at an end of the range may reach beyond it.
  const from = scope.from && Date.parse(scope.from) > Date.parse(first) ? scope.from : first
  const to = scope.to && Date.parse(scope.to) < Date.parse(end) ? scope.to : end
  const total = series.reduce((sum, { events }) => sum + events, 0)
  return (
    <>
      {found.outside ? `All but ${count(found.outside)} of ${plural(total, 'event')}` : 'All events'} lie in a small part of this range.{' '}
      <button type="button" class="link" onClick={() => setParams({ ...inRange(from, to), interval: null })}>
        Look at {bucket(first, interval)}{last !== first && ` to ${bucket(last, interval)}`}
      </button>
    </>
  )
}
