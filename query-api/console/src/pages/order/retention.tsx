import * as api from '../../api'
import type { Cohort } from '../../api'
import { useAnswer } from '../../ask'
import { count, day, percent } from '../../format'
import { useScope } from '../../pages'
import { setParams, useRoute } from '../../router'
import type { Known } from '../../scope'
import * as sql from '../../sql'
import { Choice } from '../../ui/feature-select'
import { Panel } from '../../ui/panel'

type Interval = 'day' | 'week'

export const params: Known = { interval: ['day', 'week'] }

export default function Retention() {
  const { params } = useRoute()
  const scope = useScope()
  const interval: Interval = params.get('interval') === 'day' ? 'day' : 'week'
  const question = api.retention(scope, interval)
  const answer = useAnswer(question)
  return (
    <Panel
      title="Retention"
      note={`Sessions by the ${interval} of their first event, and how many of them had an event 0, 1, 2, … ${interval}s later.`}
      controls={<Choice<Interval> label="Cohorts by" options={[['day', 'Days'], ['week', 'Weeks']]} value={interval} onChange={(interval) => setParams({ interval: interval === 'week' ? null : interval })} />}
      question={question}
      answer={answer}
      sql={sql.retention(scope, interval)}
      isEmpty={({ cohorts }) => !cohorts.length}
      table={({ cohorts, interval }) => <Cohorts cohorts={cohorts} interval={interval} />}
    />
  )
}

function Cohorts({ cohorts, interval }: { cohorts: Cohort[]; interval: Interval }) {
  const columns = Math.max(...cohorts.map(({ returned }) => returned.length))
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Retention by cohort">
      <table class="matrix">
        <caption class="visually-hidden">Retention by cohort</caption>
        <thead>
          <tr>
            <th scope="col">First {interval}</th>
            <th scope="col" class="number">
              Sessions
            </th>
            {Array.from({ length: columns }, (_, n) => (
              <th key={n} scope="col" class="number">
                +{n}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {cohorts.map(({ start, sessions, returned }) => (
            <tr key={start}>
              <th scope="row">{day(start)}</th>
              <td>{count(sessions)}</td>
              {Array.from({ length: columns }, (_, n) => {
                const back = returned[n]
                return back == null ? (
                  <td key={n} class="none" />
                ) : (
                  <td key={n} title={`${count(back)} of ${count(sessions)} sessions, ${percent(back, sessions)}`} style={{ backgroundColor: `rgb(var(--heat) / ${((0.5 * back) / sessions).toFixed(3)})` }}>
                    {count(back)}
                  </td>
                )
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
