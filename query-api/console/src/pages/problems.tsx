import { useScope } from '../pages'
import { useRoute, setParams } from '../router'
import type { Known } from '../scope'
import { REASONS, rejectionsSummary } from '../api'
import { useAnswer } from '../ask'
import { FindById } from '../ui/find'
import { FateOf } from './problems/fate'
import { OverTime } from './problems/over-time'
import { Rejected } from './problems/rejected'
import { BY, Summary } from './problems/summary'

export const params: Known = { reason: REASONS, event: () => true, group: BY.map(([name]) => name), cursor: () => true }

export default function Problems() {
  const { params } = useRoute()
  const scope = useScope()
  const event = params.get('event')
  const reason = REASONS.find((reason) => reason === params.get('reason')) ?? null
  const question = rejectionsSummary(scope, reason)
  const summary = useAnswer(question)
  return (
    <>
      <section class="panel" aria-label="Where is my event?">
        <FindById label="Where is my event? Event id" value={event} button="Find" help="The event_id you sent, or that the gateway gave you in its receipt." onFind={(event) => setParams({ event })} />
      </section>
      {event && <FateOf key={event} id={event} />}
      <div class="panel actions" role="group" aria-label="Which problems">
        <label class="field">
          <span>Reason</span>
          <select value={reason ?? ''} onChange={({ currentTarget: { value } }) => setParams({ reason: value, cursor: null })}>
            <option value="">all</option>
            {REASONS.map((reason) => (
              <option key={reason}>{reason}</option>
            ))}
          </select>
        </label>
        <p class="muted">The time range limits the time of receipt, because the event's own time may be wrong.</p>
      </div>
      <Summary scope={scope} reason={reason} question={question} answer={summary} />
      <OverTime scope={scope} reason={reason} summary={summary} />
      <Rejected scope={scope} reason={reason} />
    </>
  )
}
