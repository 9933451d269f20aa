import { useState } from 'preact/hooks'
import { PAGES, type Page } from '../pages'
import { elsewhere } from '../router'

const GROUPS = ['Use', 'Order', 'Events', 'Operations'] as const

export function Navigation({ current }: { current?: Page }) {
  // Open on one page only: another page is drawn with the menu closed, not closed after it was drawn.
  const [openOn, setOpenOn] = useState<Page | null | undefined>(null)
  const open = openOn === current
  return (
    <div class="side">
      <div class="brand">
        <a href={elsewhere('usage')}>
          <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
            <path d="M2 16C6 9 11 6 16 6s10 3 14 10c-4 7-9 10-14 10S6 23 2 16Z" fill="none" stroke="currentColor" stroke-width="2.4" />
            <circle cx="16" cy="16" r="4.6" fill="currentColor" />
          </svg>
          The Eye
        </a>
        <button type="button" class="menu" aria-expanded={open} aria-controls="navigation" onClick={() => setOpenOn(open ? null : current)}>
          Menu
        </button>
      </div>
      <nav id="navigation" class={open ? 'open' : ''} aria-label="Pages">
        {GROUPS.map((group) => (
          <div key={group} class="group">
            <h2 id={`nav-${group}`}>{group}</h2>
            <ul aria-labelledby={`nav-${group}`}>
              {PAGES.filter((page) => page.group === group).map((page) => (
                <li key={page.path}>
                  <a href={elsewhere(page.path)} aria-current={page === current ? 'page' : undefined}>
                    {page.title}
                  </a>
                </li>
              ))}
            </ul>
          </div>
        ))}
        <p class="links">
          <a href="/openapi.json">OpenAPI</a>
        </p>
      </nav>
    </div>
  )
}
