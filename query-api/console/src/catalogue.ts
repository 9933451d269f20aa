import { ask } from './ask'
import * as api from './api'
import type { Feature } from './feature'
import { store } from './store'

/** The choices of the filters, and when the data begins and ends. Asked once, over all time. */
export interface Catalogue {
  /** The features that were seen, most used first; then the features that are declared and were never seen. */
  features: Feature[]
  categories: string[]
  apps: string[]
  first: string | null
  last: string | null
}

export const catalogue = store<Catalogue | null>(null)

export async function loadCatalogue(): Promise<void> {
  try {
    catalogue.set(await read())
  } catch {
    // The panels say what is wrong. The pages work with what is known, even if that is nothing.
    catalogue.set(catalogue.get() ?? { features: [], categories: [], apps: [], first: null, last: null })
  }
}

async function read(): Promise<Catalogue> {
  const [seen, never, { apps }] = await Promise.all([ask(api.features({}, 'most', 'events')), ask(api.unused({})), ask(api.apps({}))])
  const features: Feature[] = [...seen.features, ...never.features].map(({ category, name }) => ({ category, name }))
  const times = seen.features.flatMap(({ first_seen, last_seen }) => [first_seen, last_seen]).sort()
  return {
    features,
    categories: [...new Set(features.map(({ category }) => category))].sort(),
    apps: apps.map(({ app }) => app),
    first: times[0] ?? null,
    last: times.at(-1) ?? null,
  }
}

/** The colour of a category, one of eight: the same on every page. */
export function categoryColour(category: string): number {
  const place = catalogue.get()?.categories.indexOf(category) ?? -1
  return place < 0 ? 7 : place % 8
}
