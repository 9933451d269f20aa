import { useEffect } from 'preact/hooks'
import * as api from '../api'
import type { PartitionAudit } from '../api'
import { refresh, useAnswer } from '../ask'
import { ago, count, duration, second } from '../format'
import { setParams, useRoute } from '../router'
import type { Known } from '../scope'
import * as sql from '../sql'
import { Panel } from '../ui/panel'
import { Table } from '../ui/table'
import { Tile } from '../ui/tile'

/** Seconds between looks when the page follows. */
const EVERY = 5

export const params: Known = { follow: ['yes'] }

export default function HealthPage() {
  const { params } = useRoute()
  const following = params.get('follow') === 'yes'
  const health = useAnswer(api.health())
  const audit = useAnswer(api.audit())
  useEffect(() => {
    if (!following) return
    const timer = setInterval(refresh, EVERY * 1000)
    return () => clearInterval(timer)
  }, [following])

  const now = health.value
  return (
    <>
      <p class="rank">
        <button type="button" aria-pressed={following} onClick={() => setParams({ follow: following ? null : 'yes' })}>
          Look every {EVERY} seconds
        </button>
      </p>
      <dl class="tiles" aria-label="At a glance">
        <Tile label="The log" test="log" answer={health} good={({ log_reachable }) => log_reachable} figure={({ log_reachable }) => (log_reachable ? 'reachable' : 'no broker answers')} />
        <Tile label="Lag" test="lag" answer={health} good={({ lag }) => lag === 0} figure={({ lag }) => (lag === null ? 'unknown' : count(lag))} more={() => 'records that the tables lack'} />
        <Tile label="Order behind usage" test="sequences-lag" answer={health} good={({ sequences_lag }) => sequences_lag === 0} figure={({ sequences_lag }) => count(sequences_lag)} more={() => 'records that the answers about order lack'} />
        <Tile
          label="Freshness"
          test="freshness"
          answer={health}
          figure={({ freshness_seconds: behind }) => (behind === null ? 'the log is empty' : behind === 0 ? 'all in' : `${duration(behind * 1000)} behind`)}
          more={({ as_of, now }) => as_of.time && `newest record ${ago(as_of.time, Date.parse(now))}`}
        />
        <Tile
          label="Audit"
          test="audit"
          answer={audit}
          good={({ adds_up }) => adds_up}
          figure={({ adds_up }) => (adds_up ? 'adds up' : 'does not add up')}
          more={({ log_compared }) => (log_compared ? 'log, ledger and tables compared' : 'without the log: no broker answered')}
        />
      </dl>
      <Panel
        title="Audit"
        class="audit"
        note="Every offset of the log has one verdict, every accepted record a row in events, every rejected one a row in rejections. What does not add up is put right by projector audit --heal."
        question={api.audit()}
        answer={audit}
        sql={sql.audit()}
        isEmpty={({ partitions }) => !partitions.length}
        empty={<p>The log is empty: nothing to audit yet.</p>}
        table={({ partitions, verdicts }) => (
          <>
            <dl class="facts">
              {(['accepted', 'rejected', 'duplicate', 'absent', 'lost', 'erased', 'erasure'] as const).map((verdict) => (
                <div key={verdict}>
                  <dt>{verdict}</dt>
                  <dd data-test={`verdicts-${verdict}`}>{count(verdicts[verdict])}</dd>
                </div>
              ))}
            </dl>
            <Partitions partitions={partitions} />
          </>
        )}
      />
      <Panel
        title="Lag"
        class="lag"
        question={api.health()}
        answer={health}
        sql={now?.partitions.length ? sql.lag(now.partitions) : undefined}
        isEmpty={({ partitions }) => !partitions.length}
        empty={<p>The log has no partition.</p>}
        note={now && `Answers come from ${now.generation}. The sequences include the log up to ${second(now.sequences_as_of.time)}; answers about order add what came later.`}
        table={({ partitions }) => (
          <Table
            caption="Lag by partition"
            rows={partitions}
            rowKey={({ partition }) => String(partition)}
            columns={[
              { label: 'Partition', number: true, cell: ({ partition }) => partition, sort: ({ partition }) => partition },
              { label: 'End of the log', number: true, cell: ({ log_end }) => (log_end === null ? '–' : count(log_end)), sort: ({ log_end }) => log_end ?? -1 },
              { label: 'In the tables up to', number: true, cell: ({ position }) => count(position), sort: ({ position }) => position },
              { label: 'In the order up to', number: true, cell: ({ sequences_position }) => count(sequences_position), sort: ({ sequences_position }) => sequences_position },
              { label: 'Lag', number: true, cell: ({ lag }) => (lag === null ? '–' : count(lag)), sort: ({ lag }) => lag ?? -1 },
            ]}
          />
        )}
      />
    </>
  )
}

function Partitions({ partitions }: { partitions: PartitionAudit[] }) {
  const offsets = (start: number | null, end: number | null) => (start === null || end === null ? 'unknown' : start === end ? 'empty' : `${count(start)} … ${count(end - 1)}`)
  return (
    <Table
      caption="Audit by partition"
      rows={partitions}
      rowKey={({ partition }) => String(partition)}
      columns={[
        { label: 'Partition', number: true, cell: ({ partition }) => partition, sort: ({ partition }) => partition },
        { label: 'Log', number: true, cell: ({ log_start, log_end }) => offsets(log_start, log_end) },
        { label: 'Ledger', number: true, cell: ({ ledger_start, ledger_end }) => offsets(ledger_start, ledger_end) },
        { label: 'Lag', number: true, cell: ({ lag }) => (lag === null ? '–' : count(lag)), sort: ({ lag }) => lag ?? -1 },
        { label: 'Gaps', number: true, cell: ({ gaps }) => <span title={gaps.map(([start, end]) => `${start} … ${end - 1}`).join('\n')}>{count(gaps.length)}</span> },
        { label: 'Overlaps', number: true, cell: ({ overlaps }) => count(overlaps) },
        { label: 'Accepted', number: true, cell: ({ verdicts }) => count(verdicts.accepted), sort: ({ verdicts }) => verdicts.accepted },
        { label: 'Rejected', number: true, cell: ({ verdicts }) => count(verdicts.rejected), sort: ({ verdicts }) => verdicts.rejected },
        { label: 'Duplicate', number: true, cell: ({ verdicts }) => count(verdicts.duplicate), sort: ({ verdicts }) => verdicts.duplicate },
        { label: 'Result', cell: ({ adds_up, problems }) => (adds_up ? <span class="badge good">adds up</span> : <span class="badge bad">{problems.join('; ') || 'does not add up'}</span>) },
      ]}
    />
  )
}
