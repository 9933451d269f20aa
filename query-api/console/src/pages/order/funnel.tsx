import { useState } from 'preact/hooks'
import * as api from '../../api'
import type { FunnelStep } from '../../api'
import { useAnswer } from '../../ask'
import { decodeFeature, encodeFeature, type Feature } from '../../feature'
import { count, duration, percent } from '../../format'
import { useScope } from '../../pages'
import { setParams, useRoute } from '../../router'
import { type Scope, type Known } from '../../scope'
import * as sql from '../../sql'
import { Choice, FeatureSelect } from '../../ui/feature-select'
import { FeatureName, Steps } from '../../ui/feature'
import { Panel } from '../../ui/panel'
import { Shown } from '../../ui/states'
import { Table } from '../../ui/table'

const WINDOWS: [string, string, number | null][] = [
  ['', 'any time', null],
  ['5m', '5 minutes', 5 * 60e3],
  ['30m', '30 minutes', 30 * 60e3],
  ['1h', '1 hour', 3600e3],
  ['24h', '24 hours', 24 * 3600e3],
  ['7d', '7 days', 7 * 86400e3],
  ['30d', '30 days', 30 * 86400e3],
]
/** How many can be chosen; an address may have more. */
const MAX_STEPS = 8
const withRoom = (list: Feature[]): (Feature | null)[] => (list.length < MAX_STEPS ? [...list, null] : list)

/** The list with another feature at this place, or without it. */
const put = (list: Feature[], index: number, feature: Feature | null): string[] => [...list.slice(0, index), ...(feature ? [feature] : []), ...list.slice(index + 1)].map(encodeFeature)
const features = (texts: string[]) => texts.flatMap((text) => decodeFeature(text) ?? [])

export const params: Known = { step: { of: decodeFeature, many: true }, exclude: { of: decodeFeature, many: true }, window: WINDOWS.map(([value]) => value), begin: ['any', 'first'] }

export default function Funnel() {
  const { params } = useRoute()
  const scope = useScope()
  const steps = features(params.getAll('step'))
  const exclude = features(params.getAll('exclude'))
  const [window, within, windowMs] = WINDOWS.find(([value]) => value === params.get('window')) ?? WINDOWS[0]!
  const start = params.get('begin') === 'first' ? 'first' : 'any'
  const ready = steps.length >= 2
  const question = ready ? api.funnel(scope, { steps, window: window || undefined, start, exclude: exclude.length ? exclude : undefined }) : null
  const answer = useAnswer(question)

  return (
    <>
      <section class="panel funnel-builder" aria-label="Funnel builder">
        <StepList steps={steps} />
        <div class="actions">
          <label class="field">
            <span>All steps within</span>
            <select value={window} onChange={(event) => setParams({ window: event.currentTarget.value })}>
              {WINDOWS.map(([value, label]) => (
                <option key={value} value={value}>
                  {label}
                </option>
              ))}
            </select>
          </label>
          <span class="field">
            <span>The window opens at</span>
            <Choice<'any' | 'first'>
              label="The window opens at"
              options={[['any', 'any use of step 1'], ['first', 'its first use']]}
              value={start}
              onChange={(begin) => setParams({ begin: begin === 'any' ? null : begin })}
            />
          </span>
          {withRoom(exclude).map((feature, index) => (
            <FeatureSelect
              key={index}
              label={index ? `Excluded (${index + 1})` : 'Excluded'}
              none="nothing"
              value={feature}
              onChange={(feature) => setParams({ exclude: put(exclude, index, feature) })}
            />
          ))}
        </div>
      </section>
      {ready ? (
        <Panel
          title="Funnel"
          note={`Sessions that use these features in this order, other events in between allowed${windowMs ? `, all within ${within} of step 1` : ''}. Times are medians from step 1.`}
          question={question}
          answer={answer}
          sql={sql.funnel(scope, { steps, windowMs, start, exclude })}
          isEmpty={({ steps }) => !steps[0]?.sessions}
          chart={({ steps }) => <Bars steps={steps} />}
          table={({ steps }) => (
            <Table
              caption="Steps of the funnel"
              rows={steps.map((step, index) => ({ ...step, index }))}
              rowKey={({ index }) => String(index)}
              columns={[
                { label: 'Step', number: true, cell: ({ index }) => index + 1 },
                { label: 'Feature', cell: (step) => <FeatureName feature={step} /> },
                { label: 'Sessions', number: true, cell: ({ sessions }) => count(sessions) },
                { label: 'Of step 1', number: true, cell: ({ sessions }) => percent(sessions, steps[0]!.sessions) },
                { label: 'Of the step before', number: true, cell: ({ sessions, index }) => (index ? percent(sessions, steps[index - 1]!.sessions) : '–') },
                { label: 'Lost', number: true, cell: ({ sessions, index }) => (index ? count(steps[index - 1]!.sessions - sessions) : '–') },
                { label: 'Median time', number: true, cell: ({ median_time_ms, index }) => (index ? duration(median_time_ms) : '–') },
              ]}
            />
          )}
        />
      ) : (
        <Suggestion scope={scope} chosen={steps.length} />
      )}
    </>
  )
}

/** The steps. Each can be changed, moved or removed; the last select adds one. */
function StepList({ steps }: { steps: Feature[] }) {
  const [said, setSaid] = useState('')
  const move = (index: number, by: number) => {
    const next = [...steps]
    next.splice(index + by, 0, ...next.splice(index, 1))
    setParams({ step: next.map(encodeFeature) })
    setSaid(`${steps[index]!.name} is now step ${index + by + 1}`)
  }
  return (
    <>
      <ol class="funnel-steps">
        {/* The select that adds a step becomes that step's own, so that it keeps the focus: an arrow key goes on choosing. */}
        {withRoom(steps).map((step, index) => (
          <li key={index}>
            <FeatureSelect label={`Step ${index + 1}`} none={step ? 'take out' : 'add a step…'} value={step} onChange={(feature) => setParams({ step: put(steps, index, feature) })} />
            {step && (
              <span class="moves">
                <button type="button" class="quiet" aria-label={`Move step ${index + 1} up`} disabled={index === 0} onClick={() => move(index, -1)}>
                  ↑
                </button>
                <button type="button" class="quiet" aria-label={`Move step ${index + 1} down`} disabled={index === steps.length - 1} onClick={() => move(index, 1)}>
                  ↓
                </button>
                <button type="button" class="quiet" aria-label={`Take out step ${index + 1}`} onClick={() => setParams({ step: put(steps, index, null) })}>
                  ✕
                </button>
              </span>
            )}
          </li>
        ))}
      </ol>
      <span class="visually-hidden" role="status">
        {said}
      </span>
    </>
  )
}

function Bars({ steps }: { steps: FunnelStep[] }) {
  const all = steps[0]!.sessions
  return (
    <ol class="funnel" aria-label="Sessions that reach each step">
      {steps.map((step, index) => {
        const before = steps[index - 1]?.sessions
        return (
          <li key={index}>
            {before !== undefined && (
              <p class="between">
                <span class="lost">
                  −{count(before - step.sessions)} ({percent(before - step.sessions, before)} leave)
                </span>
                {step.median_time_ms !== null && <span>median {duration(step.median_time_ms)} from step 1</span>}
              </p>
            )}
            <div class="stage">
              <span class="what">
                {index + 1}. <FeatureName feature={step} />
              </span>
              <span class="track">
                <span class="fill" style={{ width: `${(100 * step.sessions) / all}%` }} />
              </span>
              <span class="sum" data-test={`step-${index + 1}`}>
                <b>{count(step.sessions)}</b> {percent(step.sessions, all)}
              </span>
            </div>
          </li>
        )
      })}
    </ol>
  )
}

/** A first funnel at one press: the most frequent path of three features. */
function Suggestion({ scope, chosen }: { scope: Scope; chosen: number }) {
  const answer = useAnswer(api.paths(scope, { length: 3, limit: 50 }))
  return (
    <section class="panel">
      <div class="state">
        <p>
          <strong>{chosen ? 'Add a second step.' : 'Choose at least two steps.'}</strong>
        </p>
        {!chosen && (
          <Shown answer={answer}>
            {({ paths }) => {
              const path = paths.find(({ steps }) => new Set(steps.map(encodeFeature)).size === 3)
              return (
                path && (
                  <>
                    <p class="muted">Or begin with the most frequent path of three features:</p>
                    <Steps steps={path.steps} />
                    <button type="button" onClick={() => setParams({ step: path.steps.map(encodeFeature) })}>
                      Use these steps
                    </button>
                  </>
                )
              )
            }}
          </Shown>
        )}
      </div>
    </section>
  )
}
