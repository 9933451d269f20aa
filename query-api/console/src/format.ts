/** How figures and times are written, in one place. Times are always UTC. */

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })

export const count = (n: number): string => whole.format(n)

/** `12.3K` from 10,000 on. */
export const brief = (n: number): string => (n < 10_000 ? whole.format(n) : short.format(n))

/** `plural(2, 'session')`: `2 sessions`. */
export const plural = (n: number, word: string): string => `${count(n)} ${word}${n === 1 ? '' : 's'}`

/** A share of 1 as `12.3 %`; `<0.1 %` rather than 0 if it is more than nothing. */
export function percent(part: number, of: number): string {
  if (!of) return '–'
  const share = (100 * part) / of
  if (share > 0 && share < 0.1) return '<0.1 %'
  return `${share >= 99.95 || share === 0 ? Math.round(share) : share.toFixed(1)} %`
}

/** Milliseconds as the two largest units: `1 h 5 min`, `850 ms`, `0 s`. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return '–'
  if (ms < 0) return `−${duration(-ms)}`
  if (ms === 0) return '0 s'
  if (ms < 1000) return `${ms < 10 ? Number(ms.toFixed(3)) : Math.round(ms)} ms`
  const seconds = ms / 1000
  if (seconds < 60) return `${Number(seconds.toFixed(1))} s`
  const units: [string, number][] = [['d', 86_400], ['h', 3_600], ['min', 60], ['s', 1]]
  const first = units.findIndex(([, size]) => Math.round(seconds) >= size)
  const [unit, size] = units[first]!
  const amount = Math.floor(Math.round(seconds) / size)
  const [smaller, smallerSize] = units[first + 1] ?? ['', 1]
  const rest = Math.floor((Math.round(seconds) - amount * size) / smallerSize)
  return smaller && rest ? `${amount} ${unit} ${rest} ${smaller}` : `${amount} ${unit}`
}

/** `2024-03-13 10:21:14`, with the fraction if it has one. */
export function time(rfc3339: string | null | undefined): string {
  if (!rfc3339) return '–'
  return rfc3339.replace('T', ' ').replace(/(\.\d*?)0*(?:Z|\+00:00)$/, (_, fraction: string) => (fraction === '.' ? '' : fraction)).replace(/Z$/, '')
}

/** Milliseconds from one time to another one, exact to the microsecond, which a `Date` is not. */
export function millisBetween(from: string, to: string): number {
  const micros = (time: string) => Number((/\.\d{3}(\d{1,3})/.exec(time)?.[1] ?? '').padEnd(3, '0'))
  return Date.parse(to) - Date.parse(from) + (micros(to) - micros(from)) / 1000
}

/** To the second. */
export const second = (rfc3339: string | null | undefined): string => time(rfc3339).replace(/\.\d+$/, '')

export const day = (rfc3339: string | null | undefined): string => time(rfc3339).slice(0, 10)

/** `3 min ago`, against `now` in milliseconds. */
export function ago(rfc3339: string | null | undefined, now = Date.now()): string {
  if (!rfc3339) return 'never'
  const ms = now - Date.parse(rfc3339)
  return ms < 1500 ? 'just now' : `${duration(Math.round(ms / 1000) * 1000).replace(/ (\d+) (s|min|h)$/, '')} ago`
}

/** The start of a bucket, with the digits that its interval needs. */
export function bucket(start: string, interval: string): string {
  const text = time(start)
  if (interval === 'month') return text.slice(0, 7)
  return interval === 'minute' || interval === 'hour' ? text.slice(0, 16) : text.slice(0, 10)
}

export const bytes = (n: number): string => (n < 1024 ? `${n} B` : n < 1024 * 1024 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / 1024 / 1024).toFixed(1)} MiB`)
