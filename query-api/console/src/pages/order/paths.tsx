import * as api from '../../api'
import { useAnswer } from '../../ask'
import { decodeFeature, encodeFeature } from '../../feature'
import { count } from '../../format'
import { useScope } from '../../pages'
import { setParams, useRoute } from '../../router'
import type { Known } from '../../scope'
import * as sql from '../../sql'
import { FeatureSelect } from '../../ui/feature-select'
import { Steps } from '../../ui/feature'
import { Panel } from '../../ui/panel'
import { BarCell, Table } from '../../ui/table'

const LENGTHS = [2, 3, 4, 5, 6]
const LIMITS = [20, 50, 100, 500]

export const params: Known = { length: { of: LENGTHS.map(String), unless: 'whole' }, whole: ['yes'], start: decodeFeature, through: decodeFeature, end: decodeFeature, limit: LIMITS.map(String) }

export default function Paths() {
  const { params } = useRoute()
  const scope = useScope()
  const length = LENGTHS.find((length) => String(length) === params.get('length')) ?? 3
  const limit = LIMITS.find((limit) => String(limit) === params.get('limit')) ?? 20
  const whole = params.get('whole') === 'yes'
  const end = (name: string) => decodeFeature(params.get(name)) ?? undefined
  const body = { length: whole ? undefined : length, start: end('start'), through: end('through'), end: end('end'), whole_session: whole || undefined, limit }
  const question = api.paths(scope, body)
  const answer = useAnswer(question)
  return (
    <>
      <div class="panel actions" role="group" aria-label="Which paths">
        <label class="field">
          <span>Paths of</span>
          <select value={whole ? 'whole' : String(length)} onChange={({ currentTarget: { value } }) => setParams(value === 'whole' ? { whole: 'yes', length: null } : { whole: null, length: value })}>
            {LENGTHS.map((length) => (
              <option key={length} value={String(length)}>
                {length} steps
              </option>
            ))}
            <option value="whole">the whole session</option>
          </select>
        </label>
        {(['start', 'through', 'end'] as const).map((place) => (
          <FeatureSelect
            key={place}
            label={{ start: 'Starting with', through: 'Through', end: 'Ending with' }[place]}
            value={body[place] ?? null}
            onChange={(feature) => setParams({ [place]: feature && encodeFeature(feature) })}
          />
        ))}
        <label class="field">
          <span>Show</span>
          <select value={String(limit)} onChange={(event) => setParams({ limit: event.currentTarget.value })}>
            {LIMITS.map((limit) => (
              <option key={limit} value={String(limit)}>
                top {limit}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Panel
        title="Most frequent paths"
        note={whole ? 'All features of a session, from its first event to its last.' : `Every ${length} events in a row of a session; windows overlap, repeats count.`}
        question={question}
        answer={answer}
        sql={sql.paths(scope, body)}
        isEmpty={({ paths }) => !paths.length}
        empty={<p>No session has such a path. Choose fewer steps, or “any” for the start, the middle or the end.</p>}
        table={({ paths }) => (
          <Table
            caption="Most frequent paths"
            rows={paths}
            shown={500}
            rowKey={({ steps }) => steps.map(encodeFeature).join('>')}
            columns={[
              { label: 'Path', cell: ({ steps }) => <Steps steps={steps} /> },
              { label: 'Times', number: true, sort: ({ count }) => count, cell: (path) => <BarCell value={path.count} of={paths[0]!.count} /> },
              { label: 'Sessions', number: true, sort: ({ sessions }) => sessions, cell: ({ sessions }) => count(sessions) },
            ]}
          />
        )}
      />
    </>
  )
}
