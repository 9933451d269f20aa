import { store } from './store'

export type Theme = 'system' | 'light' | 'dark'

const KEY = 'eye.theme'
const system = matchMedia('(prefers-color-scheme: dark)')
const read = (): Theme => (['light', 'dark'] as const).find((theme) => theme === localStorage.getItem(KEY)) ?? 'system'

export const theme = store<Theme>(read())
/** The theme that is drawn. Charts read their colours again when it changes. */
export const dark = store(isDark())

function isDark() {
  return theme.get() === 'dark' || (theme.get() === 'system' && system.matches)
}

function apply() {
  document.documentElement.dataset.theme = isDark() ? 'dark' : 'light'
  dark.set(isDark())
}

export function setTheme(next: Theme): void {
  if (next === 'system') localStorage.removeItem(KEY)
  else localStorage.setItem(KEY, next)
  theme.set(next)
  apply()
}

system.addEventListener('change', apply)
apply()
