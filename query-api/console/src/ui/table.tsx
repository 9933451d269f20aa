import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { count } from '../format'

export interface Column<Row> {
  label: string
  cell: (row: Row) => ComponentChildren
  /** The value that the column sorts by; without it, the column does not sort. */
  sort?: (row: Row) => number | string
  number?: boolean
  class?: string
}

interface Props<Row> {
  caption: string
  columns: Column<Row>[]
  rows: Row[]
  rowKey: (row: Row, index: number) => string
  /** Rows that are shown at first. A button shows the rest, or as many rows as a browser draws at once. */
  shown?: number
}

/** Rows that one press adds: more rows at once would block the page. */
const MOST = 2000

/** A table that sorts by its headers, and scrolls sideways if it is too wide. */
export function Table<Row>({ caption, columns, rows, rowKey, shown = 50 }: Props<Row>) {
  const [order, setOrder] = useState<{ label: string; down: boolean } | null>(null)
  const [more, setMore] = useState(0)
  const by = columns.find(({ label }) => label === order?.label)?.sort
  const sorted = by && order ? [...rows].sort((a, b) => compare(by(a), by(b)) * (order.down ? -1 : 1)) : rows
  const visible = sorted.slice(0, shown + more)
  const next = Math.min(sorted.length - visible.length, MOST)
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={caption}>
      <table>
        <caption class="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ label, sort, number, class: className = '' }) => (
              <th
                key={label}
                scope="col"
                class={`${className} ${number ? 'number' : ''}`}
                aria-sort={sort ? (order?.label === label ? (order.down ? 'descending' : 'ascending') : 'none') : undefined}
              >
                {sort ? (
                  <button type="button" class="sort" onClick={() => setOrder({ label, down: order?.label === label ? !order.down : !!number })}>
                    {label}
                  </button>
                ) : (
                  label
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {visible.map((row, index) => (
            <tr key={rowKey(row, index)}>
              {columns.map(({ label, cell, number, class: className = '' }) => (
                <td key={label} class={`${className} ${number ? 'number' : ''}`}>
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {visible.length < sorted.length && (
        <p class="more">
          <button type="button" onClick={() => setMore(more + next)}>
            {visible.length + next === sorted.length ? `Show all ${count(sorted.length)} rows` : `Show ${count(next)} more of ${count(sorted.length)} rows`}
          </button>
        </p>
      )}
    </div>
  )
}

const compare = (a: number | string, b: number | string) => (a < b ? -1 : a > b ? 1 : 0)

/** A figure with a bar that compares it with the largest one. */
export function BarCell({ value, of, colour = 0, text = count(value) }: { value: number; of: number; colour?: number; text?: string }) {
  return (
    <span class="barcell">
      <span class={`bar c${colour}`} style={{ width: `${of ? Math.max((100 * value) / of, value ? 1 : 0) : 0}%` }} />
      <span class="figure">{text}</span>
    </span>
  )
}
