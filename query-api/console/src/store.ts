import { useEffect, useState } from 'preact/hooks'

/** Draws again whenever `read` gives another value after a call of the listener. */
export function useSyncExternalStore<T>(subscribe: (listener: () => void) => () => void, read: () => T): T {
  const [, render] = useState(0)
  const value = read()
  useEffect(() => {
    let last = value
    const check = () => {
      if (read() !== last) {
        last = read()
        render((n) => n + 1)
      }
    }
    check()
    return subscribe(check)
  }, [subscribe, read])
  return value
}

/** One value that several components share. */
export function store<T>(initial: T) {
  let value = initial
  const listeners = new Set<() => void>()
  const get = () => value
  const subscribe = (listener: () => void) => (listeners.add(listener), () => void listeners.delete(listener))
  const set = (next: T) => {
    value = next
    for (const listener of [...listeners]) listener()
  }
  return { get, set, use: () => useSyncExternalStore(subscribe, get) }
}
