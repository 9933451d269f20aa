import { useSyncExternalStore } from './store'

/**
 * The address after `#`: a page and its parameters, such as `/order/flow?last=30d&app=shop`.
 * In the fragment, so that any static server will do and no filter (a session id, say) reaches
 * a server's access log.
 */
export interface Route {
  page: string
  params: URLSearchParams
}

/** The parameters that stay from page to page. */
export const SHARED = ['from', 'to', 'last', 'app', 'category', 'name']

export type Change = Record<string, string | string[] | null | undefined>

export function parse(hash: string): Route {
  const [page = '', query = ''] = hash.replace(/^#\/?/, '').split(/\?(.*)/s)
  return { page: page.replace(/\/+$/, '') || 'usage', params: new URLSearchParams(query) }
}

/** The address of `page`; `/`, `:` and `,` stay readable. */
export function href(page: string, params: URLSearchParams): string {
  const query = params.toString().replace(/%(2F|3A|2C)/g, (code) => decodeURIComponent(code))
  return `#/${page}${query && `?${query}`}`
}

/** `params` with `change`: null or an empty text removes, a list repeats the parameter. */
export function changed(params: URLSearchParams, change: Change): URLSearchParams {
  const next = new URLSearchParams(params)
  for (const [name, value] of Object.entries(change)) {
    next.delete(name)
    for (const one of Array.isArray(value) ? value : [value ?? '']) if (one !== '') next.append(name, one)
  }
  return next
}

/** The address of another page, with the time range and the filters of this one, and `change`. */
export function elsewhere(page: string, change: Change = {}): string {
  const kept = new URLSearchParams()
  for (const [name, value] of current().params) if (SHARED.includes(name)) kept.append(name, value)
  return href(page, changed(kept, change))
}

/** Changes parameters of this page. A step in the history, unless `replace`. */
export function setParams(change: Change, { replace = false } = {}): void {
  const { page, params } = current()
  const address = href(page, changed(params, change))
  if (address === location.hash) return
  history[replace ? 'replaceState' : 'pushState'](null, '', address)
  dispatchEvent(new HashChangeEvent('hashchange'))
}

let known = { hash: '', route: parse('') }

export function current(): Route {
  if (known.hash !== location.hash) known = { hash: location.hash, route: parse(location.hash) }
  return known.route
}

function subscribe(listener: () => void) {
  addEventListener('hashchange', listener)
  return () => removeEventListener('hashchange', listener)
}

export const useRoute = (): Route => useSyncExternalStore(subscribe, current)
