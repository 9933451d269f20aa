import * as api from '../../api'
import type { Pair } from '../../api'
import { useAnswer } from '../../ask'
import { encodeFeature, type Feature } from '../../feature'
import { count, percent } from '../../format'
import { useScope } from '../../pages'
import { setParams, useRoute } from '../../router'
import type { Known } from '../../scope'
import * as sql from '../../sql'
import { FeatureName } from '../../ui/feature'
import { largest, Matrix, TOPS, TopSelect, weigh } from '../../ui/matrix'
import { Panel } from '../../ui/panel'
import { BarCell, Table } from '../../ui/table'

export const params: Known = { top: TOPS.map(String) }

export default function Precedence() {
  const { params } = useRoute()
  const scope = useScope()
  const top = TOPS.find((top) => String(top) === params.get('top')) ?? 20
  const question = api.precedence(scope)
  const answer = useAnswer(question)
  return (
    <Panel
      title="Which comes first"
      note="Of the sessions that use both features: the share, in percent, in which the first use of the row's feature comes before the first use of the column's."
      controls={<TopSelect value={top} onChange={(top) => setParams({ top })} />}
      question={question}
      answer={answer}
      sql={sql.precedence(scope)}
      isEmpty={({ pairs }) => !pairs.length}
      chart={({ pairs }) => <PrecedenceMatrix pairs={pairs} top={top} />}
      table={({ pairs }) => <PrecedenceTable pairs={pairs} />}
    />
  )
}

function PrecedenceMatrix({ pairs, top }: { pairs: Pair[]; top: number }) {
  const weights = new Map<string, { feature: Feature; weight: number }>()
  const by = new Map<string, Pair>()
  for (const pair of pairs) {
    weigh(weights, pair.first, pair.both)
    weigh(weights, pair.then, pair.both)
    by.set(`${encodeFeature(pair.first)}>${encodeFeature(pair.then)}`, pair)
  }
  return (
    <Matrix
      caption="Share of sessions in which the row's feature comes first"
      rows="first"
      columns="then"
      features={largest(weights, top)}
      cell={(first, then) => {
        const pair = by.get(`${encodeFeature(first)}>${encodeFeature(then)}`)
        const opposite = by.get(`${encodeFeature(then)}>${encodeFeature(first)}`)
        const both = pair?.both ?? opposite?.both
        if (!both) return null
        const share = (pair?.sessions ?? 0) / both
        return {
          text: String(Math.round(100 * share)),
          title: `${first.name} before ${then.name} in ${count(pair?.sessions ?? 0)} of the ${count(both)} sessions that use both (${percent(pair?.sessions ?? 0, both)})`,
          heat: Math.max(0, share - 0.5) * 2,
        }
      }}
    />
  )
}

function PrecedenceTable({ pairs }: { pairs: Pair[] }) {
  const most = Math.max(...pairs.map(({ sessions }) => sessions))
  return (
    <Table
      caption="Pairs of features by which comes first"
      rows={pairs}
      rowKey={({ first, then }) => `${encodeFeature(first)}>${encodeFeature(then)}`}
      columns={[
        { label: 'First', cell: ({ first }) => <FeatureName feature={first} />, sort: ({ first }) => encodeFeature(first) },
        { label: 'Then', cell: ({ then }) => <FeatureName feature={then} />, sort: ({ then }) => encodeFeature(then) },
        { label: 'Sessions in this order', number: true, sort: ({ sessions }) => sessions, cell: ({ sessions }) => <BarCell value={sessions} of={most} /> },
        { label: 'Sessions with both', number: true, sort: ({ both }) => both, cell: ({ both }) => count(both) },
        { label: 'Share', number: true, sort: ({ sessions, both }) => sessions / both, cell: ({ sessions, both }) => percent(sessions, both) },
      ]}
    />
  )
}
