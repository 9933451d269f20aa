import type { ComponentChildren } from 'preact'
import { keyWanted, refresh, type Answer, type Problem } from '../ask'
import { catalogue } from '../catalogue'
import { day } from '../format'
import { inRange } from '../scope'
import { setParams, useRoute } from '../router'

/** One of: loading, a problem and what to do, nothing to show and what to do, or the answer. */
export function Shown<T>({ answer, empty, children }: { answer: Answer<T>; empty?: (value: T) => ComponentChildren; children: (value: T) => ComponentChildren }) {
  if (answer.problem) return <ProblemNote problem={answer.problem} />
  if (answer.value === undefined) return answer.loading ? <Loading /> : null
  const nothing = empty?.(answer.value)
  return (
    <div class={answer.loading ? 'stale' : undefined} aria-busy={answer.loading}>
      {nothing ? <div class="state">{nothing}</div> : children(answer.value)}
    </div>
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

export function ProblemNote({ problem }: { problem: Problem }) {
  return (
    <div class="state problem" role="alert">
      <p>
        <strong>{problem.status === 401 ? 'A reader key is needed.' : problem.message}</strong>
      </p>
      <p class="muted">
        {problem.status ? `${problem.status} ${problem.code}` : problem.code}
        {problem.field && `, field ${problem.field}`}
      </p>
      {problem.status === 401 ? (
        <button type="button" onClick={() => keyWanted.set(true)}>
          Enter a key
        </button>
      ) : (
        // What was not understood won't be the next time.
        problem.status !== 400 && (
          <button type="button" onClick={refresh}>
            Try again
          </button>
        )
      )}
    </div>
  )
}

const FILTERS = ['app', 'category', 'name']

/** Nothing was found: says where the data is and how to get there. */
export function NothingHere({ what = 'events' }: { what?: string }) {
  const { params } = useRoute()
  const known = catalogue.use()
  const ranged = ['from', 'to', 'last'].some((name) => params.has(name))
  const filtered = FILTERS.filter((name) => params.has(name))
  if (!ranged && !filtered.length)
    return (
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
        {ranged && known?.first && `There are events from ${day(known.first)} to ${day(known.last)}.`}
      </p>
      <p class="actions">
        {ranged && (
          <button type="button" onClick={() => setParams(inRange(null, null))}>
            Show all time
          </button>
        )}
        {filtered.length > 0 && (
          <button type="button" onClick={() => setParams({ app: null, category: null, name: null })}>
            Clear filters
          </button>
        )}
      </p>
    </>
  )
}
