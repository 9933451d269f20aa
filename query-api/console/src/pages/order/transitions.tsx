import * as api from '../../api'
import type { Transition } from '../../api'
import { useAnswer } from '../../ask'
import { encodeFeature, type Feature } from '../../feature'
import { brief, count, duration, percent } from '../../format'
import { useScope } from '../../pages'
import { setParams, useRoute } from '../../router'
import type { Known } from '../../scope'
import * as sql from '../../sql'
import { Choice } from '../../ui/feature-select'
import { FeatureName } from '../../ui/feature'
import { largest, Matrix, TOPS, TopSelect, weigh } from '../../ui/matrix'
import { Panel } from '../../ui/panel'
import { BarCell, Table } from '../../ui/table'

type Measure = 'count' | 'share' | 'sessions' | 'gap'
const MEASURES: [Measure, string][] = [['count', 'Times'], ['share', 'Share of next'], ['sessions', 'Sessions'], ['gap', 'Median gap']]

export const params: Known = { show: MEASURES.map(([name]) => name), top: TOPS.map(String) }

export default function Transitions() {
  const { params } = useRoute()
  const scope = useScope()
  const measure = MEASURES.find(([name]) => name === params.get('show'))?.[0] ?? 'count'
  const top = TOPS.find((top) => String(top) === params.get('top')) ?? 20
  const question = api.transitions(scope)
  const answer = useAnswer(question)
  return (
    <Panel
      title="Transitions"
      note="A row's feature was directly followed by a column's, in the same session. The diagonal is a feature used twice in a row."
      controls={
        <>
          <Choice<Measure> label="Show" options={MEASURES} value={measure} onChange={(show) => setParams({ show: show === 'count' ? null : show })} />
          <TopSelect value={top} onChange={(top) => setParams({ top })} />
        </>
      }
      question={question}
      answer={answer}
      sql={sql.transitions(scope)}
      isEmpty={({ transitions }) => !transitions.length}
      chart={({ transitions }) => <TransitionMatrix transitions={transitions} measure={measure} top={top} />}
      table={({ transitions }) => <TransitionTable transitions={transitions} />}
    />
  )
}

function TransitionMatrix({ transitions, measure, top }: { transitions: Transition[]; measure: Measure; top: number }) {
  const weights = new Map<string, { feature: Feature; weight: number }>()
  const leaving = new Map<string, number>()
  for (const { from, to, count } of transitions) {
    weigh(weights, from, count)
    weigh(weights, to, count)
    leaving.set(encodeFeature(from), (leaving.get(encodeFeature(from)) ?? 0) + count)
  }
  const by = new Map(transitions.map((transition) => [`${encodeFeature(transition.from)}>${encodeFeature(transition.to)}`, transition]))
  const value = (t: Transition) =>
    ({ count: t.count, share: t.count / leaving.get(encodeFeature(t.from))!, sessions: t.sessions, gap: Math.log1p(t.median_gap_ms) })[measure]
  const most = Math.max(...transitions.map(value))
  return (
    <Matrix
      caption={`Transitions between features, ${MEASURES.find(([name]) => name === measure)![1].toLowerCase()}`}
      rows="from"
      columns="directly to"
      features={largest(weights, top)}
      cell={(from, to) => {
        const t = by.get(`${encodeFeature(from)}>${encodeFeature(to)}`)
        if (!t) return null
        const share = percent(t.count, leaving.get(encodeFeature(from))!)
        return {
          text: { count: brief(t.count), share: share.replace(' %', ''), sessions: brief(t.sessions), gap: duration(t.median_gap_ms).replace(/^(\d+ (?:d|h|min)) .*/, '$1') }[measure],
          title: `${from.name} → ${to.name}: ${count(t.count)} times (${share} of what follows ${from.name}), ${count(t.sessions)} sessions, median gap ${duration(t.median_gap_ms)}`,
          heat: Math.sqrt(value(t) / most),
        }
      }}
    />
  )
}

function TransitionTable({ transitions }: { transitions: Transition[] }) {
  const most = transitions[0]?.count ?? 0
  return (
    <Table
      caption="Transitions between features"
      rows={transitions}
      rowKey={({ from, to }) => `${encodeFeature(from)}>${encodeFeature(to)}`}
      columns={[
        { label: 'From', cell: ({ from }) => <FeatureName feature={from} />, sort: ({ from }) => encodeFeature(from) },
        { label: 'Directly to', cell: ({ to }) => <FeatureName feature={to} />, sort: ({ to }) => encodeFeature(to) },
        { label: 'Times', number: true, sort: ({ count }) => count, cell: (t) => <BarCell value={t.count} of={most} /> },
        { label: 'Sessions', number: true, sort: ({ sessions }) => sessions, cell: ({ sessions }) => count(sessions) },
        { label: 'Median gap', number: true, sort: ({ median_gap_ms }) => median_gap_ms, cell: ({ median_gap_ms }) => duration(median_gap_ms) },
      ]}
    />
  )
}
