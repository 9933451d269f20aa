import * as api from '../../api'
import type { EndFeature } from '../../api'
import { useAnswer } from '../../ask'
import { encodeFeature } from '../../feature'
import { percent } from '../../format'
import type { Scope } from '../../scope'
import * as sql from '../../sql'
import { FeatureName } from '../../ui/feature'
import { Panel } from '../../ui/panel'
import { BarCell, Table } from '../../ui/table'

const TITLE = { entries: 'Sessions begin with', exits: 'Sessions end with' }

/** The first or the last features of sessions. */
export function Ends({ scope, which }: { scope: Scope; which: 'entries' | 'exits' }) {
  const question = api[which](scope)
  const answer = useAnswer<Partial<Record<typeof which, EndFeature[]>>>(question)
  return (
    <Panel
      title={TITLE[which]}
      class={which}
      question={question}
      answer={answer}
      sql={sql.ends(scope, which)}
      isEmpty={(answer) => !answer[which]?.length}
      table={(answer) => {
        const features = answer[which] ?? []
        const all = features.reduce((sum, { sessions }) => sum + sessions, 0)
        return (
          <Table
            caption={TITLE[which]}
            rows={features}
            shown={10}
            rowKey={encodeFeature}
            columns={[
              { label: 'Feature', cell: (feature) => <FeatureName feature={feature} /> },
              { label: 'Sessions', number: true, cell: ({ sessions }) => <BarCell value={sessions} of={features[0]!.sessions} />, class: 'half' },
              { label: 'Share', number: true, cell: ({ sessions }) => percent(sessions, all) },
            ]}
          />
        )
      }}
    />
  )
}
