import { useEffect, useRef } from 'preact/hooks'
import { store } from './store'

/** What part of the log an answer includes. */
export interface AsOf {
  positions: Record<string, number>
  time: string | null
}

/** The `as_of` of each answer that the page shows now. */
export const moments = store<ReadonlyMap<object, AsOf>>(new Map())

/** Counts `asOf` among the moments of the page, until it changes or the component is gone. */
export function useMoment(asOf: AsOf | undefined): void {
  const me = useRef({}).current
  useEffect(() => {
    if (!asOf) return
    moments.set(new Map(moments.get()).set(me, asOf))
    return () => {
      const others = new Map(moments.get())
      others.delete(me)
      moments.set(others)
    }
  }, [asOf])
}

export interface Span {
  /** The part of the log that all answers include. Without a time, it is empty. */
  all: AsOf
  /** The newest record that some of them include, if they differ. */
  some: string | null
}

/** The moments of the figures of a page; null without figures. */
export function spanOf(shown: AsOf[]): Span | null {
  if (!shown.length) return null
  const positions: Record<string, number> = {}
  let differ = false
  for (const partition of new Set(shown.flatMap(({ positions }) => Object.keys(positions)))) {
    const each = shown.map(({ positions }) => positions[partition] ?? 0)
    positions[partition] = Math.min(...each)
    differ ||= each.some((position) => position !== each[0])
  }
  const times = shown.map(({ time }) => time ?? '').sort()
  return { all: { positions, time: times[0] || null }, some: (differ && times.at(-1)) || null }
}
