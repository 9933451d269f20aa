import * as api from '../../api'
import { useAnswer } from '../../ask'
import { count, second } from '../../format'
import { elsewhere } from '../../router'
import type { Scope } from '../../scope'
import * as sql from '../../sql'
import { Panel } from '../../ui/panel'
import { BarCell, Table } from '../../ui/table'

/** Use by application. */
export function Apps({ scope }: { scope: Scope }) {
  const question = api.apps(scope)
  const answer = useAnswer(question)
  return (
    <Panel
      title="By application"
      class="apps"
      note="A session of two applications counts for both."
      question={question}
      answer={answer}
      sql={sql.apps(scope)}
      isEmpty={({ apps }) => !apps.length}
      table={({ apps }) => (
        <Table
          caption="Use by application"
          rows={apps}
          rowKey={({ app }) => app}
          columns={[
            { label: 'Application', cell: ({ app }) => <a href={elsewhere('usage', { app })}>{app}</a>, sort: ({ app }) => app },
            { label: 'Events', number: true, sort: ({ events }) => events, cell: ({ events }) => <BarCell value={events} of={apps[0]!.events} /> },
            { label: 'Sessions', number: true, sort: ({ sessions }) => sessions, cell: ({ sessions }) => count(sessions) },
            { label: 'First seen', cell: ({ first_seen }) => second(first_seen), sort: ({ first_seen }) => first_seen, class: 'nowrap' },
            { label: 'Last seen', cell: ({ last_seen }) => second(last_seen), sort: ({ last_seen }) => last_seen, class: 'nowrap' },
          ]}
        />
      )}
    />
  )
}
