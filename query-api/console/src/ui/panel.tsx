import type { ComponentChildren } from 'preact'
import { useId, useState } from 'preact/hooks'
import { curl, type Answer, type Question } from '../ask'
import { Boundary } from './boundary'
import { CodeButton } from './code'
import { NothingHere, Shown } from './states'

interface Props<T> {
  title: string
  note?: ComponentChildren
  controls?: ComponentChildren
  /** The question (for its curl) and its answer. */
  question: Question<unknown> | null
  answer: Answer<T>
  sql?: string
  isEmpty?: (value: T) => boolean
  empty?: ComponentChildren
  chart?: (value: T) => ComponentChildren
  table?: (value: T) => ComponentChildren
  class?: string
}

/** One question: its chart, the same figures as a table, and the SQL and the curl that ask it elsewhere. */
export function Panel<T>({ title, note, controls, question, answer, sql, isEmpty, empty, chart, table, class: className = '' }: Props<T>) {
  const [asTable, setAsTable] = useState(!chart)
  const heading = useId()
  return (
    <section class={`panel ${className}`} aria-labelledby={heading}>
      <header>
        <h2 id={heading}>{title}</h2>
        <div class="tools">
          {controls}
          {chart && table && (
            <button type="button" class="quiet" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
              Table
            </button>
          )}
          {sql && <CodeButton label="SQL" title={`${title}: copy as SQL`} text={() => sql} note="For ClickHouse, over the views of the database eye." />}
          {question && <CodeButton label="curl" title={`${title}: copy as curl`} text={() => curl(question)} />}
        </div>
      </header>
      {note && <p class="note">{note}</p>}
      <Boundary what={title} of={answer.value}>
        {() => (
          <Shown answer={answer} empty={(value) => isEmpty?.(value) && (empty ?? <NothingHere />)}>
            {(value) => (asTable ? table : chart)?.(value)}
          </Shown>
        )}
      </Boundary>
    </section>
  )
}
