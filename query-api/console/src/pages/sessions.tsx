import * as api from '../api'
import { useAnswer } from '../ask'
import { count, duration, second } from '../format'
import { brief } from '../json/text'
import { useScope } from '../pages'
import { elsewhere, useRoute } from '../router'
import * as sql from '../sql'
import { FindById } from '../ui/find'
import { FeatureName } from '../ui/feature'
import { Panel } from '../ui/panel'
import { Table } from '../ui/table'
import { Timeline } from './sessions/timeline'

/** How many events of a session are drawn at most. */
const LIMIT = 2000
/** How many events back recent sessions are looked for. */
const RECENT = 300

export default function Sessions() {
  const { page } = useRoute()
  const id = page.split('/')[1] || null
  return (
    <>
      <section class="panel">
        <FindById
          label="Session id"
          value={id}
          button="Show"
          help="The id that your application gives the session."
          onFind={(id) => (location.hash = elsewhere(id ? `sessions/${id}` : 'sessions'))}
        />
      </section>
      {id ? <OneSession key={id} id={id} /> : <Recent />}
    </>
  )
}

function OneSession({ id }: { id: string }) {
  const question = api.session(id, LIMIT)
  const answer = useAnswer(question)
  if (answer.problem?.code === 'not_found')
    return (
      <section class="panel">
        <div class="state">
          <p>
            <strong>No accepted event has this session id.</strong>
          </p>
          <p class="muted">
            Its events may have been rejected: <a href={elsewhere('problems')}>look at Problems</a>, where one event's id tells what became of it.
          </p>
        </div>
      </section>
    )
  return (
    <Panel
      title="Timeline"
      class="session"
      question={question}
      answer={answer}
      sql={sql.session(id)}
      note={
        answer.value?.next_cursor && (
          <>
            The first {count(LIMIT)} of {count(answer.value.session.events)} events. <a href={elsewhere('events', { session_id: id, order: 'oldest' })}>All events of the session</a>
          </>
        )
      }
      chart={({ session, events }) => <Timeline session={session} events={events} />}
      table={({ events }) => (
        <Table
          caption="Events of the session"
          rows={events}
          shown={200}
          rowKey={({ event_id }) => event_id}
          columns={[
            { label: 'Time (UTC)', cell: ({ timestamp }) => <span class="mono nowrap">{second(timestamp)}</span> },
            { label: 'App', cell: ({ app }) => app },
            { label: 'Feature', cell: (event) => <FeatureName feature={event} /> },
            { label: 'Data', cell: ({ data }) => <code class="cut">{brief(data)}</code> },
          ]}
        />
      )}
    />
  )
}

function Recent() {
  const scope = useScope()
  const question = api.events(scope, { limit: RECENT })
  const answer = useAnswer(question)
  return (
    <Panel
      title="Recently active sessions"
      class="recent"
      note={`Sessions of the last ${RECENT} events that pass the filters; of each session, only these events are counted here.`}
      question={question}
      answer={answer}
      sql={sql.events(scope, { limit: RECENT })}
      isEmpty={({ events }) => !events.length}
      table={({ events }) => (
        <Table
          caption="Recently active sessions"
          rows={grouped(events)}
          rowKey={({ id }) => id}
          shown={30}
          columns={[
            {
              label: 'Session',
              cell: ({ id }) => (
                <a class="mono nowrap" href={elsewhere(`sessions/${id}`)}>
                  {id}
                </a>
              ),
            },
            { label: 'Last event (UTC)', cell: ({ last }) => <span class="nowrap">{second(last)}</span>, sort: ({ last }) => last },
            { label: 'Last feature', cell: ({ feature }) => <FeatureName feature={feature} /> },
            { label: 'Events here', number: true, cell: ({ events }) => count(events), sort: ({ events }) => events },
            { label: 'Over, here', number: true, cell: ({ first, last }) => duration(Date.parse(last) - Date.parse(first)) },
            { label: 'Apps', cell: ({ apps }) => [...apps].join(', ') },
          ]}
        />
      )}
    />
  )
}

function grouped(events: api.StoredEvent[]) {
  const sessions = new Map<string, { id: string; first: string; last: string; feature: api.Feature; events: number; apps: Set<string> }>()
  for (const { session_id: id, timestamp, category, name, app } of events) {
    const known = sessions.get(id)
    if (known) {
      known.events++
      known.first = timestamp
      known.apps.add(app)
    } else sessions.set(id, { id, first: timestamp, last: timestamp, feature: { category, name }, events: 1, apps: new Set([app]) })
  }
  return [...sessions.values()]
}

