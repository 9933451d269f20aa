import { second } from '../format'
import { moments, spanOf } from '../moment'
import { setTheme, theme, type Theme } from '../theme'

/** The part of the log that all figures of the page include, and the part that the newest one includes. */
export function Freshness() {
  const span = spanOf([...moments.use().values()])
  if (!span) return null
  const { all, some } = span
  const partitions = Object.entries(all.positions)
  return (
    <span class="freshness" title={partitions.map(([partition, position]) => `partition ${partition}: ${position}`).join('\n')}>
      {all.time ? (
        <>
          Includes the log up to <time dateTime={all.time}>{second(all.time)}</time> UTC
          {some && (
            <>
              ; some figures are newer, up to <time dateTime={some}>{second(some)}</time>
            </>
          )}
        </>
      ) : (
        some ? 'Some figures include nothing of the log yet' : 'The log is empty'
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
