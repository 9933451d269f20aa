import * as api from '../../api'
import { useAnswer } from '../../ask'
import { time } from '../../format'
import { Json } from '../../json/view'
import { elsewhere, setParams } from '../../router'
import * as sql from '../../sql'
import { FeatureName } from '../../ui/feature'
import { Panel } from '../../ui/panel'
import { RawRecord } from './raw'

const SAYS = {
  accepted: 'It is in: every answer up to here counts it.',
  rejected: 'It is kept in the log, but counts nowhere. What was wrong with it:',
  duplicate: 'The same event id came before; the first one counts.',
  erased: 'Its session is erased: nothing but this verdict is kept of it here.',
  erasure: 'It asks to erase a session.',
  absent: 'The log holds no record at this place.',
  lost: 'The log lost its record before it was judged.',
}

/** What became of one event. */
export function FateOf({ id }: { id: string }) {
  const question = api.fate(id)
  const answer = useAnswer(question)
  if (answer.problem?.code === 'not_found')
    return (
      <section class="panel" aria-label="Fate of the event">
        <div class="state">
          <p>
            <strong>No record of this event.</strong>
          </p>
          <p>{answer.problem.message}</p>
          <p class="muted">If you have just sent it, wait a second and refresh. Without a receipt (202) it never reached the log: send it again with the same event_id.</p>
        </div>
      </section>
    )
  return (
    <Panel
      title="Fate of the event"
      class="fate"
      controls={
        <button type="button" class="quiet" onClick={() => setParams({ event: null })}>
          Close
        </button>
      }
      question={question}
      answer={answer}
      sql={sql.fate(id)}
      table={(fate) => (
        <>
          <p class="verdict">
            <span class={`badge ${fate.verdict}`} data-test="verdict">
              {fate.verdict}
            </span>{' '}
            {SAYS[fate.verdict]}
          </p>
          <dl class="facts">
            {(fate.category || fate.name) && (
              <div>
                <dt>Feature</dt>
                <dd>
                  <FeatureName feature={fate} />
                </dd>
              </div>
            )}
            {fate.session_id && (
              <div>
                <dt>Session</dt>
                <dd>
                  <a class="mono" href={elsewhere(`sessions/${fate.session_id}`)}>
                    {fate.session_id}
                  </a>
                </dd>
              </div>
            )}
            {fate.app && (
              <div>
                <dt>Application</dt>
                <dd>{fate.app}</dd>
              </div>
            )}
            {fate.timestamp && (
              <div>
                <dt>Event time</dt>
                <dd>{time(fate.timestamp)}</dd>
              </div>
            )}
            <div>
              <dt>Received</dt>
              <dd>{time(fate.received_at)}</dd>
            </div>
            <div>
              <dt>In the log</dt>
              <dd>
                partition {fate.partition}, offset {fate.offset}, at {time(fate.log_time)}
              </dd>
            </div>
            {fate.traceparent && (
              <div>
                <dt>Trace context</dt>
                <dd class="mono">{fate.traceparent}</dd>
              </div>
            )}
            {fate.schema_version > 0 && (
              <div>
                <dt>Schema</dt>
                <dd>version {fate.schema_version}</dd>
              </div>
            )}
          </dl>
          {fate.raw !== null && <RawRecord raw={fate.raw} base64={fate.raw_base64} reasons={fate.reasons} />}
          {fate.data && <Json text={fate.data} label="Data of the event" />}
          {fate.others.length > 0 && (
            <>
              <h3>Other records with this event id</h3>
              <ul>
                {fate.others.map((other) => (
                  <li key={`${other.partition} ${other.offset}`}>
                    <span class={`badge ${other.verdict}`}>{other.verdict}</span> partition {other.partition}, offset {other.offset}, received {time(other.received_at)}
                  </li>
                ))}
              </ul>
            </>
          )}
        </>
      )}
    />
  )
}
