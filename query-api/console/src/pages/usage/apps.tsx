import * as api from '../../api'
import { ask, useAnswers } from '../../ask'
import { catalogue } from '../../catalogue'
import { count } from '../../format'
import { elsewhere } from '../../router'
import type { Scope } from '../../scope'
import * as sql from '../../sql'
import { Panel } from '../../ui/panel'
import { BarCell, Table } from '../../ui/table'

interface AppUse {
  app: string
  events: number
  sessions: number
  features: number
}

/** Use by application: the questions of the page, asked once for each application. */
export function Apps({ scope }: { scope: Scope }) {
  const apps = catalogue.use()?.apps
  const answer = useAnswers<AppUse[]>(apps ? JSON.stringify([scope, apps]) : null, async (signal) => {
    const uses = await Promise.all(apps!.filter((app) => !scope.app || app === scope.app).map((app) => usageOf({ ...scope, app }, signal)))
    return uses.filter(({ events }) => events).sort((a, b) => b.events - a.events)
  })

  if (!apps?.length) return null
  return (
    <Panel
      title="By application"
      class="apps"
      question={api.features({ ...scope, app: scope.app ?? apps[0] }, 'most', 'events')}
      answer={answer}
      sql={sql.byApp(scope)}
      isEmpty={(apps) => !apps.length}
      table={(uses) => (
        <Table
          caption="Use by application"
          rows={uses}
          rowKey={({ app }) => app}
          columns={[
            { label: 'Application', cell: ({ app }) => <a href={elsewhere('usage', { app })}>{app}</a>, sort: ({ app }) => app },
            { label: 'Events', number: true, sort: ({ events }) => events, cell: ({ events }) => <BarCell value={events} of={Math.max(...uses.map(({ events }) => events))} /> },
            { label: 'Sessions', number: true, sort: ({ sessions }) => sessions, cell: ({ sessions }) => count(sessions) },
            { label: 'Features', number: true, sort: ({ features }) => features, cell: ({ features }) => count(features) },
          ]}
        />
      )}
    />
  )
}

async function usageOf(scope: Scope & { app: string }, signal: AbortSignal): Promise<AppUse> {
  const [used, entries] = await Promise.all([ask(api.features(scope, 'most', 'events'), signal), ask(api.entries(scope), signal)])
  return {
    app: scope.app,
    events: used.features.reduce((sum, { events }) => sum + events, 0),
    sessions: entries.entries.reduce((sum, { sessions }) => sum + sessions, 0),
    features: used.features.length,
  }
}
