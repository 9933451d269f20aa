import * as api from '../api'
import type { EventType } from '../api'
import { useAnswer } from '../ask'
import { decodeFeature, encodeFeature, sameFeature } from '../feature'
import { count, second } from '../format'
import { elsewhere, setParams, useRoute } from '../router'
import type { Known } from '../scope'
import * as sql from '../sql'
import { Boundary } from '../ui/boundary'
import { FeatureName } from '../ui/feature'
import { Panel } from '../ui/panel'
import { BarCell, Table } from '../ui/table'
import { TypeDetail } from './event-types/detail'

export const params: Known = { type: decodeFeature }

export default function EventTypes() {
  const { params } = useRoute()
  const chosen = decodeFeature(params.get('type'))
  const question = api.eventTypes()
  const answer = useAnswer(question)
  const found = chosen && answer.value?.event_types.find((type) => sameFeature(type, chosen))
  return (
    <>
      {found && (
        <Boundary what={`The event type ${found.name}`} of={found}>
          {() => <TypeDetail type={found} />}
        </Boundary>
      )}
      {chosen && answer.value && !found && (
        <section class="panel">
          <div class="state">
            <p>
              <strong>
                No event type is declared for {chosen.category} / {chosen.name}.
              </strong>
            </p>
            <p class="muted">Its events are rejected as unknown_event_type. Declare it by a JSON Schema in the folder of event types.</p>
            <button type="button" onClick={() => setParams({ type: null })}>
              All event types
            </button>
          </div>
        </section>
      )}
      <Panel
        title="Declared event types"
        class="types"
        question={question}
        answer={answer}
        sql={answer.value?.event_types.length ? sql.eventTypes(answer.value.event_types) : undefined}
        isEmpty={({ event_types }) => !event_types.length}
        empty={<p>No event type is declared: every event is rejected. Put JSON Schemas into the folder of event types.</p>}
        table={({ event_types }) => <Types types={event_types} />}
      />
    </>
  )
}

function Types({ types }: { types: EventType[] }) {
  const most = Math.max(...types.map(({ events }) => events))
  return (
    <Table
      caption="Declared event types"
      rows={types}
      rowKey={encodeFeature}
      shown={200}
      columns={[
        {
          label: 'Event type',
          sort: encodeFeature,
          cell: (type) => (
            <a class="feature" href={elsewhere('event-types', { type: encodeFeature(type) })}>
              <FeatureName feature={type} link={false} />
            </a>
          ),
        },
        { label: 'Version', number: true, cell: ({ version }) => version, sort: ({ version }) => version },
        { label: 'Examples', number: true, cell: ({ examples }) => count(examples.length), sort: ({ examples }) => examples.length },
        { label: 'Events', number: true, cell: ({ events }) => <BarCell value={events} of={most} />, sort: ({ events }) => events },
        { label: 'Sessions', number: true, cell: ({ sessions }) => count(sessions), sort: ({ sessions }) => sessions },
        { label: 'Last seen', cell: ({ last_seen }) => (last_seen ? second(last_seen) : 'never'), sort: ({ last_seen }) => last_seen ?? '', class: 'nowrap' },
        { label: 'About', cell: ({ description }) => description, class: 'muted about' },
      ]}
    />
  )
}
