import { Fragment } from 'preact'
import { useState } from 'preact/hooks'
import * as api from '../api'
import type { StoredEvent } from '../api'
import { useAnswer } from '../ask'
import { count, time } from '../format'
import { brief } from '../json/text'
import { useScope } from '../pages'
import { elsewhere, setParams, useRoute } from '../router'
import type { Known } from '../scope'
import * as sql from '../sql'
import { Boundary } from '../ui/boundary'
import { Choice } from '../ui/feature-select'
import { FeatureName } from '../ui/feature'
import { FindById } from '../ui/find'
import { Panel } from '../ui/panel'
import { Export } from './events/export'
import { EventDetail } from './sessions/timeline'

const LIMITS = [50, 100, 500]

export const params: Known = { session_id: () => true, order: ['newest', 'oldest'], limit: LIMITS.map(String), cursor: () => true }

export default function Events() {
  const { params } = useRoute()
  const scope = useScope()
  const sessionId = params.get('session_id')
  const order: api.ListOrder = params.get('order') === 'oldest' ? 'oldest' : 'newest'
  const limit = LIMITS.find((limit) => String(limit) === params.get('limit')) ?? 50
  const cursor = params.get('cursor')
  const question = api.events(scope, { session_id: sessionId, order: order === 'oldest' ? order : undefined, limit, cursor })
  const answer = useAnswer(question)
  return (
    <>
      <section class="panel">
        <FindById label="Session id" value={sessionId} button="Filter" help="Only events of this session; empty for all." onFind={(session_id) => setParams({ session_id, cursor: null })} />
      </section>
      <Panel
        title="Events"
        class="events"
        controls={
          <>
            <Choice<api.ListOrder> label="Order" options={[['newest', 'Newest first'], ['oldest', 'Oldest first']]} value={order} onChange={(order) => setParams({ order: order === 'newest' ? null : order, cursor: null })} />
            <Export scope={scope} sessionId={sessionId} />
          </>
        }
        question={question}
        answer={answer}
        sql={sql.events(scope, { session_id: sessionId, order, limit })}
        isEmpty={({ events }) => !events.length}
        empty={
          sessionId ? (
            <p>
              No accepted event of this session passes the filters. <button type="button" onClick={() => setParams({ session_id: null, cursor: null })}>Show all sessions</button>
            </p>
          ) : undefined
        }
        table={({ events, next_cursor }) => (
          <>
            <EventTable events={events} />
            <p class="actions pages">
              {cursor && (
                <button type="button" onClick={() => setParams({ cursor: null })}>
                  First page
                </button>
              )}
              {next_cursor && (
                <button type="button" onClick={() => (setParams({ cursor: next_cursor }), scrollTo(0, 0))}>
                  Next {limit}
                </button>
              )}
              <label class="inline">
                a page{' '}
                <select value={String(limit)} onChange={(event) => setParams({ limit: event.currentTarget.value, cursor: null })}>
                  {LIMITS.map((limit) => (
                    <option key={limit}>{limit}</option>
                  ))}
                </select>
              </label>
              <span class="muted">
                {count(events.length)} shown{!next_cursor && ', the last page'}
              </span>
            </p>
          </>
        )}
      />
    </>
  )
}

function EventTable({ events }: { events: StoredEvent[] }) {
  const [open, setOpen] = useState<string | null>(null)
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Events">
      <table>
        <caption class="visually-hidden">Events</caption>
        <thead>
          <tr>
            <th scope="col">Time (UTC)</th>
            <th scope="col">Feature</th>
            <th scope="col">App</th>
            <th scope="col">Session</th>
            <th scope="col">Data</th>
            <th scope="col">
              <span class="visually-hidden">Details</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {events.map((event) => (
            <Fragment key={event.event_id}>
              <tr data-event={event.event_id}>
                <td class="mono nowrap">{time(event.timestamp)}</td>
                <td>
                  <FeatureName feature={event} />
                </td>
                <td>{event.app}</td>
                <td>
                  <a class="mono" href={elsewhere(`sessions/${event.session_id}`)} title={event.session_id}>
                    {event.session_id.slice(0, 8)}
                  </a>
                </td>
                <td>
                  <code class="cut">{brief(event.data)}</code>
                </td>
                <td class="number">
                  <button type="button" class="quiet" aria-expanded={open === event.event_id} aria-label={`Details of the ${event.name} at ${time(event.timestamp)}`} onClick={() => setOpen(open === event.event_id ? null : event.event_id)}>
                    Details
                  </button>
                </td>
              </tr>
              {open === event.event_id && (
                <tr>
                  <td colSpan={6}>
                    <Boundary what="This event">{() => <EventDetail event={event} />}</Boundary>
                  </td>
                </tr>
              )}
            </Fragment>
          ))}
        </tbody>
      </table>
    </div>
  )
}
