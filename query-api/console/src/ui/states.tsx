import type { ComponentChildren } from 'preact'
import { keyWanted, refresh, type Answer, type Problem } from '../ask'
import { catalogue } from '../catalogue'
import { day } from '../format'
import { filtersAt } from '../pages'
import { chipsOf, inRange, without, type Chip } from '../scope'
import { setParams, useRoute } from '../router'

/** One of: loading, a problem and what to do, nothing to show and what to do, or the answer. */
export function Shown<T>({ answer, empty, children }: { answer: Answer<T>; empty?: (value: T) => ComponentChildren; children: (value: T) => ComponentChildren }) {
  if (answer.value === undefined) return answer.problem ? <ProblemNote problem={answer.problem} /> : answer.loading ? <Loading /> : null
  const nothing = empty?.(answer.value)
  return (
    <>
      {answer.problem && <ProblemNote problem={answer.problem} before />}
      <div class={answer.loading || answer.problem ? 'stale' : undefined} aria-busy={answer.loading}>
        {nothing ? <div class="state">{nothing}</div> : children(answer.value)}
      </div>
    </>
  )
}

export const Loading = () => (
  <div class="state loading" role="status">
    <span class="visually-hidden">Loading…</span>
    <i />
    <i />
    <i />
  </div>
)

/** `before`: an earlier answer of the same question follows. */
export function ProblemNote({ problem, before = false }: { problem: Problem; before?: boolean }) {
  return (
    <div class="state problem" role="alert">
      <p>
        <strong>{problem.status === 401 ? 'A reader key is needed.' : problem.message}</strong>
      </p>
      <p class="muted">
        {problem.status ? `${problem.status} ${problem.code}` : problem.code}
        {problem.field && `, field ${problem.field}`}
        {before && '. Below is the answer from before.'}
      </p>
      {problem.status === 401 ? (
        <button type="button" onClick={() => keyWanted.set(true)}>
          Enter a key
        </button>
      ) : (
        // A question that is not understood is not understood the next time either.
        problem.status !== 400 && (
          <button type="button" onClick={refresh}>
            Try again
          </button>
        )
      )}
    </div>
  )
}

const isRange = ({ name }: Chip) => ['from', 'to', 'last'].includes(name)

/** Nothing was found: the page says where the data is and how to get there. */
export function NothingHere({ what = 'events', unfiltered }: { what?: string; unfiltered?: ComponentChildren }) {
  const { page, params } = useRoute()
  const known = catalogue.use()
  const applied = chipsOf(params, filtersAt(page)).filter(({ state }) => state === 'applied')
  const ranged = applied.some(isRange)
  const filtered = applied.filter((chip) => !isRange(chip))
  if (!ranged && !filtered.length)
    return unfiltered ?? (
      <>
        <p>
          <strong>No {what} yet.</strong>
        </p>
        <p class="muted">
          Send one with <code>POST /events</code> to the gateway; it shows up here within a second or so.
        </p>
      </>
    )
  return (
    <>
      <p>
        <strong>
          No {what} {filtered.length ? 'match these filters' : 'in this time range'}.
        </strong>{' '}
        {ranged && what === 'events' && known?.first && `There are events from ${day(known.first)} to ${day(known.last)}.`}
      </p>
      <p class="actions">
        {ranged && (
          <button type="button" onClick={() => setParams(inRange(null, null))}>
            Show all time
          </button>
        )}
        {filtered.length > 0 && (
          <button type="button" onClick={() => setParams(without(params, filtered))}>
            Clear filters
          </button>
        )}
      </p>
    </>
  )
}
