import type { RejectionCount } from '../../api'
import type { Answer, Question } from '../../ask'
import { count, second } from '../../format'
import { setParams, useRoute } from '../../router'
import type { Scope } from '../../scope'
import * as sql from '../../sql'
import { Choice } from '../../ui/feature-select'
import { FeatureName } from '../../ui/feature'
import { Panel } from '../../ui/panel'
import { NothingHere } from '../../ui/states'
import { BarCell, Table } from '../../ui/table'

type By = 'reason' | 'type' | 'app'
export const BY: [By, string][] = [['reason', 'Reason'], ['type', 'Event type'], ['app', 'Application']]

interface Props {
  scope: Scope
  reason: string | null
  question: Question<unknown>
  answer: Answer<{ summary: RejectionCount[] }>
}

/** How many records were rejected, by reason, event type and application. */
export function Summary({ scope, reason, question, answer }: Props) {
  const { params } = useRoute()
  const by = BY.find(([name]) => name === params.get('group'))?.[0] ?? 'reason'
  return (
    <Panel
      title="Rejections"
      class="summary"
      note="A record with several reasons counts under each of them."
      controls={<Choice<By> label="Group by" options={BY} value={by} onChange={(group) => setParams({ group: group === 'reason' ? null : group })} />}
      question={question}
      answer={answer}
      sql={sql.rejectionsSummary(scope, reason)}
      isEmpty={({ summary }) => !summary.length}
      empty={<NothingRejected />}
      chart={({ summary }) => <Grouped summary={summary} by={by} />}
      table={({ summary }) => <Lines summary={summary} />}
    />
  )
}

export const NothingRejected = () => (
  <NothingHere
    what="rejections"
    unfiltered={
      <p>
        <strong>Nothing was rejected.</strong>
      </p>
    }
  />
)

const GROUP: Record<By, (line: RejectionCount) => string> = {
  reason: ({ reason }) => reason,
  type: ({ category, name }) => JSON.stringify({ category, name }),
  app: ({ app }) => app,
}

function Grouped({ summary, by }: { summary: RejectionCount[]; by: By }) {
  const groups = new Map<string, { key: string; records: number; first: string; last: string; parts: Map<string, number> }>()
  for (const line of summary) {
    const key = GROUP[by](line)
    const part = by === 'reason' ? line.name || '(no name)' : line.reason
    const group = groups.get(key) ?? { key, records: 0, first: line.first_seen, last: line.last_seen, parts: new Map() }
    group.records += line.records
    group.parts.set(part, (group.parts.get(part) ?? 0) + line.records)
    if (line.first_seen < group.first) group.first = line.first_seen
    if (line.last_seen > group.last) group.last = line.last_seen
    groups.set(key, group)
  }
  const rows = [...groups.values()].sort((a, b) => b.records - a.records || (a.key < b.key ? -1 : 1))
  const label = ({ key }: { key: string }) => {
    if (by === 'type') return key === '{"category":"","name":""}' ? <span class="muted">could not be read</span> : <FeatureName feature={JSON.parse(key)} link={false} />
    if (by === 'app') return key || <span class="muted">unknown</span>
    return (
      <button type="button" class="link" title="Show this reason only" onClick={() => setParams({ reason: key, cursor: null })}>
        {key}
      </button>
    )
  }
  return (
    <Table
      caption={`Rejections by ${BY.find(([name]) => name === by)![1].toLowerCase()}`}
      rows={rows}
      rowKey={({ key }) => key}
      columns={[
        { label: BY.find(([name]) => name === by)![1], cell: label, sort: ({ key }) => key, class: 'word' },
        { label: 'Records', number: true, sort: ({ records }) => records, cell: ({ records }) => <BarCell value={records} of={rows[0]!.records} colour={4} /> },
        { label: by === 'reason' ? 'Most often of' : 'Most often', cell: ({ parts }) => [...parts].sort((a, b) => b[1] - a[1]).slice(0, 3).map(([part, n]) => `${part} (${count(n)})`).join(', '), class: 'muted words' },
        { label: 'Last received', cell: ({ last }) => second(last), sort: ({ last }) => last, class: 'nowrap' },
      ]}
    />
  )
}

function Lines({ summary }: { summary: RejectionCount[] }) {
  return (
    <Table
      caption="Rejections by reason, event type and application"
      rows={summary}
      rowKey={(line) => JSON.stringify([line.reason, line.app, line.category, line.name])}
      columns={[
        { label: 'Reason', cell: ({ reason }) => reason, sort: ({ reason }) => reason },
        { label: 'Event type', cell: (line) => (line.name ? <FeatureName feature={line} link={false} /> : '–'), sort: ({ name }) => name },
        { label: 'Application', cell: ({ app }) => app || '–', sort: ({ app }) => app, class: 'word' },
        { label: 'Records', number: true, cell: ({ records }) => count(records), sort: ({ records }) => records },
        { label: 'First received', cell: ({ first_seen }) => second(first_seen), sort: ({ first_seen }) => first_seen, class: 'nowrap' },
        { label: 'Last received', cell: ({ last_seen }) => second(last_seen), sort: ({ last_seen }) => last_seen, class: 'nowrap' },
      ]}
    />
  )
}
