import { asOf } from '../ask'
import { second } from '../format'
import { setTheme, theme, type Theme } from '../theme'

/** What part of the log the page includes. */
export function Freshness() {
  const fresh = asOf.use()
  if (!fresh) return null
  const partitions = Object.entries(fresh.positions)
  return (
    <span class="freshness" title={partitions.map(([partition, position]) => `partition ${partition}: ${position}`).join('\n')}>
      {fresh.time ? (
        <>
          Includes the log up to <time dateTime={fresh.time}>{second(fresh.time)}</time> UTC
        </>
      ) : (
        'The log is empty'
      )}
    </span>
  )
}

const NEXT: Record<Theme, Theme> = { system: 'light', light: 'dark', dark: 'system' }
const LABEL: Record<Theme, string> = { system: 'Theme: auto', light: 'Theme: light', dark: 'Theme: dark' }

export function ThemeSwitch() {
  const chosen = theme.use()
  return (
    <button type="button" class="quiet" onClick={() => setTheme(NEXT[chosen])}>
      {LABEL[chosen]}
    </button>
  )
}
