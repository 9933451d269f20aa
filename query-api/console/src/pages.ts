import type { ComponentType } from 'preact'
import { useRoute } from './router'
import { scopeOf, type Filter, type Known, type Scope } from './scope'

export interface PageModule {
  default: ComponentType
  /** The parameters that its address may have beside the filters; none by default. */
  params?: Known
}

export interface Page {
  path: string
  title: string
  /** The question that it answers, under the title. */
  about: string
  group: 'Use' | 'Order' | 'Events' | 'Operations'
  /** The filters that narrow its figures. Of other filters in the address, the page says that they do not. */
  filters: Filter[]
  load: () => Promise<PageModule>
}

const ALL: Filter[] = ['range', 'app', 'category', 'name']
const RANGE: Filter[] = ['range', 'app']

/** Every page, in the order of the navigation. Each is a file of `pages/`, loaded when it is opened. */
export const PAGES: Page[] = [
  { path: 'usage', title: 'Usage', about: 'Which features are used most, rarely, never.', group: 'Use', filters: ALL, load: () => import('./pages/usage') },
  { path: 'event-types', title: 'Event types', about: 'The events that may be sent: schemas, versions, examples, and how much each type is used.', group: 'Use', filters: [], load: () => import('./pages/event-types') },
  { path: 'order/flow', title: 'Flow', about: 'What happens after, or before, a feature.', group: 'Order', filters: RANGE, load: () => import('./pages/order/flow') },
  { path: 'order/transitions', title: 'Transitions', about: 'Which feature directly follows which.', group: 'Order', filters: RANGE, load: () => import('./pages/order/transitions') },
  { path: 'order/precedence', title: 'Precedence', about: 'Which of two features sessions use first.', group: 'Order', filters: RANGE, load: () => import('./pages/order/precedence') },
  { path: 'order/funnel', title: 'Funnel', about: 'How many sessions get through a series of steps, and how fast.', group: 'Order', filters: RANGE, load: () => import('./pages/order/funnel') },
  { path: 'order/paths', title: 'Paths', about: 'The most frequent series of features.', group: 'Order', filters: RANGE, load: () => import('./pages/order/paths') },
  { path: 'order/retention', title: 'Retention', about: 'How many sessions are still active days or weeks after their first event.', group: 'Order', filters: RANGE, load: () => import('./pages/order/retention') },
  { path: 'sessions', title: 'Sessions', about: 'One session, event by event, across all applications.', group: 'Events', filters: ALL, load: () => import('./pages/sessions') },
  { path: 'events', title: 'Events', about: 'Every accepted event; to read and to export.', group: 'Events', filters: [...ALL, 'session_id'], load: () => import('./pages/events') },
  { path: 'live', title: 'Live', about: 'Events and verdicts as they come in.', group: 'Events', filters: [], load: () => import('./pages/live') },
  { path: 'problems', title: 'Problems', about: 'What was rejected, and why; the fate of one event.', group: 'Operations', filters: [...ALL, 'reason'], load: () => import('./pages/problems') },
  { path: 'health', title: 'Health', about: 'Is everything in, how fresh is it, does it add up?', group: 'Operations', filters: [], load: () => import('./pages/health') },
]

export const pageAt = (path: string): Page | undefined => PAGES.find((page) => path === page.path || path.startsWith(`${page.path}/`))

/** The filters of a page. What lies below it (one session) is shown as a whole. */
export const filtersAt = (path: string): Filter[] => PAGES.find((page) => page.path === path)?.filters ?? []

/** The filters of the address that apply to this page. */
export function useScope(): Scope {
  const { page, params } = useRoute()
  return scopeOf(params, filtersAt(page))
}
