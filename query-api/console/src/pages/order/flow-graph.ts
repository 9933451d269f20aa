import type { Path } from '../../api'
import { encodeFeature, type Feature } from '../../feature'

/** How many paths of each length are asked for. */
export const PATHS = 1000
/** Features drawn in one step; the others together are one. */
const SHOWN = 7

export interface Node {
  /** Unique: the feature and its step. */
  id: string
  key: string
  depth: number
  label: string
  feature?: Feature
}

export interface Link {
  step: number
  from: Node
  to: Node
  count: number
}

export interface Flow {
  /** Uses of the feature that the flow begins (or ends) with. */
  uses: number
  links: Link[]
  /** Uses beyond the paths that were asked for. */
  leftOut: number
}

/**
 * The steps after `anchor` (or before, if `backwards`), from its paths of length 2, 3, ... (in this
 * order). Paths of length n say where step n went; what came as far as step n - 1 and is in no path of
 * length n had no further event, so the session ended (or began) there.
 */
export function flowOf(anchor: Feature, uses: number, byLength: Path[][], backwards: boolean): Flow {
  const deepest = byLength.length
  const place = (step: number) => (backwards ? deepest - step : step)
  const stepOf = (path: Path, step: number) => path.steps[backwards ? path.steps.length - 1 - step : step]!
  const node = (step: number, key: string, label: string, feature?: Feature): Node => ({ id: `${step} ${key}`, key, depth: place(step), label, feature })

  // The features of a step that are drawn by name.
  const named = byLength.map((paths, index) => {
    const counts = new Map<string, { feature: Feature; count: number }>()
    for (const path of paths) {
      const feature = stepOf(path, index + 1)
      const known = counts.get(encodeFeature(feature))
      if (known) known.count += path.count
      else counts.set(encodeFeature(feature), { feature, count: path.count })
    }
    const sorted = [...counts].sort(([, a], [, b]) => b.count - a.count)
    return new Map((sorted.length > SHOWN + 1 ? sorted.slice(0, SHOWN) : sorted).map(([key, { feature }]) => [key, feature]))
  })
  const nodeOf = (path: Path, step: number): Node => {
    if (step === 0) return node(0, encodeFeature(anchor), anchor.name, anchor)
    const feature = stepOf(path, step)
    const key = encodeFeature(feature)
    return named[step - 1]!.has(key) ? node(step, key, feature.name, feature) : node(step, '*', 'other features')
  }

  const links = new Map<string, Link>()
  const arrived = new Map<string, { node: Node; count: number }>()
  const first = node(0, encodeFeature(anchor), anchor.name, anchor)
  arrived.set(first.id, { node: first, count: uses })
  const add = (step: number, near: Node, far: Node, count: number) => {
    const [from, to] = backwards ? [far, near] : [near, far]
    const known = links.get(`${from.id}>${to.id}`)
    if (known) known.count += count
    else links.set(`${from.id}>${to.id}`, { step, from, to, count })
    const there = arrived.get(far.id)
    if (there) there.count += count
    else arrived.set(far.id, { node: far, count })
  }

  let leftOut = 0
  byLength.forEach((paths, index) => {
    const step = index + 1
    const before = [...arrived.values()].filter(({ node: { id } }) => id.startsWith(`${step - 1} `) && !id.endsWith(' .'))
    const gone = new Map<string, number>()
    for (const path of paths) {
      const near = nodeOf(path, step - 1)
      add(step, near, nodeOf(path, step), path.count)
      gone.set(near.id, (gone.get(near.id) ?? 0) + path.count)
    }
    // With all paths at hand the difference is exact; of a cut list nobody knows.
    const complete = byLength.slice(0, step).every((paths) => paths.length < PATHS)
    for (const { node: near, count } of before) {
      const ended = count - (gone.get(near.id) ?? 0)
      if (ended > 0 && complete) add(step, near, node(step, '.', backwards ? 'session begins' : 'session ends'), ended)
      else if (ended > 0) leftOut += ended
    }
  })
  return { uses, links: [...links.values()].sort((a, b) => a.step - b.step || b.count - a.count), leftOut }
}
