import type { ComponentChildren } from 'preact'
import type { Answer } from '../ask'

interface Props<T> {
  label: string
  test: string
  answer: Answer<T>
  figure: (value: T) => ComponentChildren
  more?: (value: T) => ComponentChildren
  good?: (value: T) => boolean
}

/** One figure at a glance: dimmed while it answers an old question, absent without an answer. */
export function Tile<T>({ label, test, answer: { value, problem, loading }, figure, more, good }: Props<T>) {
  const verdict = value === undefined || !good ? '' : good(value) ? 'good' : 'bad'
  return (
    <div class={verdict} aria-busy={loading}>
      <dt>{label}</dt>
      <dd data-test={test} class={value !== undefined && (loading || problem) ? 'stale' : undefined}>
        {value !== undefined ? figure(value) : problem ? '–' : '…'}
        {value !== undefined && more && <small>{more(value)}</small>}
        {problem && <small>{value === undefined ? 'no answer' : 'from before: no new answer'}</small>}
      </dd>
    </div>
  )
}
