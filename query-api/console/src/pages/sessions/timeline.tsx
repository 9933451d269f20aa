import { useState } from 'preact/hooks'
import type { StoredEvent, WholeSession } from '../../api'
import { catalogue, categoryColour } from '../../catalogue'
import { count, day, duration, millisBetween, plural, time } from '../../format'
import { Json } from '../../json/view'
import { elsewhere } from '../../router'
import { Boundary } from '../../ui/boundary'
import { FeatureName } from '../../ui/feature'

/** A gap of this length or longer is a pause, and gets a line of its own. */
const PAUSE_MS = 30 * 60_000

/** The facts of the whole session, then its events in order: a column for each application, each event with its data. */
export function Timeline({ session, events }: { session: WholeSession; events: StoredEvent[] }) {
  const apps = [...new Set(events.map(({ app }) => app))]
  const all = session.events === events.length
  const span = Date.parse(events.at(-1)!.timestamp) - Date.parse(events[0]!.timestamp)
  return (
    <>
      <dl class="facts">
        <div>
          <dt>Events</dt>
          <dd data-test="session-events">{count(session.events)}</dd>
        </div>
        <div>
          <dt>From</dt>
          <dd>{time(session.first_seen)}</dd>
        </div>
        <div>
          <dt>To</dt>
          <dd data-test="session-to">{time(session.last_seen)}</dd>
        </div>
        <div>
          <dt>Over</dt>
          <dd data-test="session-over">{duration(millisBetween(session.first_seen, session.last_seen))}</dd>
        </div>
        <div>
          <dt>
            {plural(apps.length, 'application')}
            {!all && ' in the events below'}
          </dt>
          <dd>{apps.join(', ')}</dd>
        </div>
      </dl>
      {span > 0 && <Strip events={events} span={span} apps={apps} />}
      <ol class="timeline" aria-label="Events in order">
        {events.map((event, index) => {
          const before = events[index - 1]
          const gap = before ? millisBetween(before.timestamp, event.timestamp) : null
          return (
            <li key={event.event_id} class={event.app === before?.app || !before ? '' : 'other-app'}>
              {(!before || day(before.timestamp) !== day(event.timestamp)) && <p class="day">{day(event.timestamp)}</p>}
              {gap !== null && gap >= PAUSE_MS && <p class="pause">pause of {duration(gap)}</p>}
              <Row event={event} gap={gap} apps={apps} />
            </li>
          )
        })}
      </ol>
    </>
  )
}

const ms = ({ timestamp }: StoredEvent) => Date.parse(timestamp)

/** The events along the session's time, a line for each application. */
function Strip({ events, span, apps }: { events: StoredEvent[]; span: number; apps: string[] }) {
  catalogue.use() // knows the colours
  const first = ms(events[0]!)
  return (
    <div class="strip" aria-hidden="true">
      {apps.map((app) => (
        <div key={app}>
          <span>{app}</span>
          <svg viewBox="0 0 1000 14" preserveAspectRatio="none">
            <line x1="0" x2="1000" y1="7" y2="7" />
            {events
              .filter((event) => event.app === app)
              .map((event) => (
                <rect key={event.event_id} class={`c${categoryColour(event.category)}`} x={Math.round(((ms(event) - first) / span) * 996)} y="1" width="4" height="12" rx="1" />
              ))}
          </svg>
        </div>
      ))}
    </div>
  )
}

function Row({ event, gap, apps }: { event: StoredEvent; gap: number | null; apps: string[] }) {
  const [open, setOpen] = useState(false)
  return (
    <>
      <div class="event">
        <time dateTime={event.timestamp} class="mono">
          {time(event.timestamp).slice(11)}
        </time>
        <span class="gap muted">{gap === null ? '' : gap === 0 ? 'same time' : `+${duration(gap)}`}</span>
        <span class="what">
          <FeatureName feature={event} />
          {apps.length > 1 && <span class="badge">{event.app}</span>}
        </span>
        <button type="button" class="quiet" aria-expanded={open} onClick={() => setOpen(!open)}>
          Data
        </button>
      </div>
      {open && <Boundary what="This event">{() => <EventDetail event={event} />}</Boundary>}
    </>
  )
}

export function EventDetail({ event }: { event: StoredEvent }) {
  return (
    <div class="detail">
      <Json text={event.data} label={`Data of ${event.name}`} />
      <dl class="facts">
        <div>
          <dt>Event id</dt>
          <dd>
            <a class="mono" href={elsewhere('problems', { event: event.event_id })}>
              {event.event_id}
            </a>
          </dd>
        </div>
        <div>
          <dt>Session</dt>
          <dd>
            <a class="mono" href={elsewhere(`sessions/${event.session_id}`)}>
              {event.session_id}
            </a>
          </dd>
        </div>
        <div>
          <dt>Application</dt>
          <dd>{event.app}</dd>
        </div>
        <div>
          <dt>Received</dt>
          <dd>{time(event.received_at)}</dd>
        </div>
        {event.sent_at && (
          <div>
            <dt>Sent</dt>
            <dd>{time(event.sent_at)}</dd>
          </div>
        )}
        <div>
          <dt>In the log</dt>
          <dd>
            partition {event.partition}, offset {event.offset}
          </dd>
        </div>
        <div>
          <dt>Schema</dt>
          <dd>version {event.schema_version}</dd>
        </div>
        {event.traceparent && (
          <div>
            <dt>Trace context</dt>
            <dd class="mono">{event.traceparent}</dd>
          </div>
        )}
      </dl>
    </div>
  )
}
