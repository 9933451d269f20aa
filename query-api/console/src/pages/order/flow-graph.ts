import type * as api from '../../api'
import { encodeFeature, type Feature } from '../../feature'
import { plural } from '../../format'

export interface Node {
  /** The step and the node; unique. */
  id: string
  /** Its place in the drawing, from the left. */
  depth: number
  label: string
  /** How many uses of the start (or end) pass here. */
  count: number
  feature?: Feature
}

export interface Link {
  step: number
  from: Node
  to: Node
  count: number
}

export interface Graph {
  nodes: Node[]
  links: Link[]
}

/** The flow as it is drawn, in the order of time: a flow to an end (`backwards`) begins on the left. */
export function graphOf({ columns, links, backwards, filtered }: api.Flow): Graph {
  const ending = filtered ? `nothing ${backwards ? 'before' : 'more'} that passes the filters` : `session ${backwards ? 'begins' : 'ends'}`
  const nodes = new Map<string, Node>()
  columns.forEach(({ features, other, ended }, column) => {
    const add = (key: string, label: string, count: number, feature?: Feature) => {
      const id = `${column} ${key}`
      if (count) nodes.set(id, { id, depth: backwards ? columns.length - 1 - column : column, label, count, feature })
    }
    for (const { category, name, count } of features) add(encodeFeature({ category, name }), name, count, { category, name })
    add('other', plural(other.features, 'other feature'), other.count)
    add('ended', ending, ended)
  })
  const node = (column: number, node: api.FlowNode) => nodes.get(`${column} ${node.kind === 'feature' ? encodeFeature(node) : node.kind}`)!
  return {
    nodes: [...nodes.values()],
    links: links.map(({ column, from, to, count }) => {
      const [near, far] = [node(column - 1, from), node(column, to)]
      return { step: column, from: backwards ? far : near, to: backwards ? near : far, count }
    }),
  }
}
