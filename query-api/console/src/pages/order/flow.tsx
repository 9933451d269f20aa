import * as api from '../../api'
import { useAnswer, type Answer } from '../../ask'
import { Chart, tooltip } from '../../charts/chart'
import { categoryColour } from '../../catalogue'
import { decodeFeature, encodeFeature } from '../../feature'
import { count, percent } from '../../format'
import { useScope } from '../../pages'
import { setParams, useRoute } from '../../router'
import type { Known } from '../../scope'
import * as sql from '../../sql'
import { Choice, FeatureSelect } from '../../ui/feature-select'
import { FeatureName } from '../../ui/feature'
import { Panel } from '../../ui/panel'
import { BarCell, Table } from '../../ui/table'
import { Ends } from './ends'
import { graphOf, type Node } from './flow-graph'

const STEPS = [3, 4, 5]

export const params: Known = { start: { of: decodeFeature, unless: 'end' }, end: decodeFeature, steps: STEPS.map(String) }

const NO_FLOW: api.Flow = { columns: [], links: [], starts: 0, backwards: false, filtered: false }

/** The flow from a start feature, or to an end feature. By default it starts where most sessions begin. */
export default function FlowPage() {
  const { params } = useRoute()
  const scope = useScope()
  const steps = STEPS.find((steps) => String(steps) === params.get('steps')) ?? 4
  const end = decodeFeature(params.get('end'))
  const asked = decodeFeature(params.get('start'))
  const entries = useAnswer(api.entries(scope))
  // There may be events, and yet no session that begins with one of them.
  const none = !entries.loading && entries.value?.entries.length === 0
  const most = useAnswer(none ? api.features(scope, 'most', 'events', 1) : null)
  // The answer for this time range and application, not for those before.
  const wait = entries.loading || (none && most.loading)
  const [likely] = wait ? [] : none ? (most.value?.features ?? []) : (entries.value?.entries ?? [])
  const anchor = end ?? asked ?? (likely ? { category: likely.category, name: likely.name } : null)
  const backwards = end !== null

  const body = anchor && (backwards ? { end: anchor, length: steps } : { start: anchor, length: steps })
  const question = body && api.flow(scope, body)
  const flow = useAnswer(question)
  const problem = entries.problem ?? (none ? most.problem : undefined)
  // Without a feature there is no event at all. Until that is known, the old flow stays.
  const answer: Answer<api.Flow> = anchor ? flow : wait ? { value: flow.value, loading: true } : { problem, value: problem ? undefined : NO_FLOW, loading: false }

  const pick = (feature: string) => setParams(backwards ? { end: feature, start: null } : { start: feature, end: null })
  return (
    <>
      <div class="panel actions" role="group" aria-label="Which flow">
        <FeatureSelect label="From" none={end ? '–' : none ? 'what is used most' : 'where most sessions begin'} value={end ? null : asked} onChange={(feature) => setParams({ start: feature && encodeFeature(feature), end: null })} />
        <FeatureSelect label="or to" none="–" value={end} onChange={(feature) => setParams({ end: feature && encodeFeature(feature), start: null })} />
        <span class="field">
          <span>Steps</span>
          <Choice label="Steps" options={STEPS.map((steps) => [String(steps), String(steps)])} value={String(steps)} onChange={(steps) => setParams({ steps: steps === '4' ? null : steps })} />
        </span>
      </div>
      <Panel
        title={anchor ? `Flow ${backwards ? 'to' : 'from'} ${anchor.name}` : 'Flow'}
        class="flow"
        note={`Each use of the feature, and what came directly ${backwards ? 'before' : 'after'} it. Choose a step in the drawing to start there.`}
        question={question}
        answer={answer}
        sql={body ? sql.flow(scope, body) : undefined}
        isEmpty={({ links }) => !links.length}
        chart={(flow) => <Drawing flow={flow} onPick={pick} />}
        table={(flow) => (
          <Table
            caption="Steps of the flow"
            rows={graphOf(flow).links}
            rowKey={(link) => `${link.from.id}>${link.to.id}`}
            columns={[
              { label: 'Step', number: true, sort: ({ step }) => step, cell: ({ step }) => step },
              { label: 'From', cell: ({ from }) => <NodeName node={from} />, sort: ({ from }) => from.label },
              { label: 'To', cell: ({ to }) => <NodeName node={to} />, sort: ({ to }) => to.label },
              { label: 'Times', number: true, sort: (link) => link.count, cell: (link) => <BarCell value={link.count} of={flow.starts} /> },
              { label: 'Of all uses', number: true, cell: (link) => percent(link.count, flow.starts) },
            ]}
          />
        )}
      />
      <div class="columns">
        <Ends scope={scope} which="entries" />
        <Ends scope={scope} which="exits" />
      </div>
    </>
  )
}

const NodeName = ({ node }: { node: Node }) => (node.feature ? <FeatureName feature={node.feature} /> : <span class="muted">{node.label}</span>)

function Drawing({ flow, onPick }: { flow: api.Flow; onPick: (key: string) => void }) {
  const { nodes, links } = graphOf(flow)
  return (
    <Chart
      label={`Flow of ${count(flow.starts)} uses over ${flow.columns.length} steps. The table has the figures.`}
      height={420}
      minWidth={620}
      data={flow}
      onPick={(index, what) => what === 'node' && nodes[index]?.feature && onPick(encodeFeature(nodes[index].feature))}
      option={(colours) => ({
        tooltip: {
          ...tooltip(colours),
          trigger: 'item',
          formatter: (params) => {
            const { dataType, dataIndex } = params as { dataType: string; dataIndex: number }
            const link = links[dataIndex]
            if (dataType === 'edge' && link) return `${escape(link.from.label)} → ${escape(link.to.label)}<br><b>${count(link.count)}</b> (${percent(link.count, flow.starts)} of all uses)`
            const node = nodes[dataIndex]
            return node ? `${node.feature ? `${escape(node.feature.category)}: ` : ''}${escape(node.label)}<br><b>${count(node.count)}</b> (${percent(node.count, flow.starts)} of all uses)` : ''
          },
        },
        series: [
          {
            type: 'sankey',
            left: 6,
            right: 140,
            top: 8,
            bottom: 8,
            nodeWidth: 12,
            nodeGap: 9,
            layoutIterations: 0,
            draggable: false,
            nodeAlign: flow.backwards ? 'right' : 'left',
            emphasis: { focus: 'adjacency' },
            label: { color: colours.text, fontSize: 12, formatter: ({ dataIndex }) => `${nodes[dataIndex!]?.label}  ${count(nodes[dataIndex!]?.count ?? 0)}` },
            lineStyle: { color: 'source', opacity: 0.22, curveness: 0.5 },
            data: nodes.map(({ id, depth, feature }) => ({
              name: id,
              depth,
              itemStyle: { color: feature ? colours.categories[categoryColour(feature.category)] : colours.line, borderWidth: 0 },
            })),
            links: links.map(({ from, to, count }) => ({ source: from.id, target: to.id, value: count })),
          },
        ],
      })}
    />
  )
}

const escape = (text: string) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`)
