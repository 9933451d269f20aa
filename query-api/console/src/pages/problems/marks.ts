import { findNodeAtLocation, parseTree } from 'jsonc-parser'
import type { Reason } from '../../api'
import { isTooDeep } from '../../json/text'
import { placeOfByte } from './bytes'

/** A part of a text and the reasons that point to it. */
export interface Mark {
  from: number
  to: number
  /** Numbers of the reasons, from 1. */
  reasons: number[]
}

/** The place of each reason: the value it points to or, if that is absent, the end of the nearest part that exists. */
export function marks(text: string, reasons: Pick<Reason, 'code' | 'pointer' | 'message'>[]): Mark[] {
  // The judge reads nothing this deep as JSON, so no reason points into it. Its tree would exhaust the stack.
  const tree = isTooDeep(text) ? undefined : parseTree(text, [], { disallowComments: true })
  const found: Mark[] = []
  const add = (from: number, to: number, reason: number) => {
    const same = found.find((mark) => mark.from === from && mark.to === to)
    if (same) same.reasons.push(reason)
    else found.push({ from, to, reasons: [reason] })
  }
  reasons.forEach(({ code, pointer, message }, index) => {
    if (code === 'invalid_json') {
      // The message says where reading ended.
      const place = placeOfByte(text, Number(/ at byte (\d+)$/.exec(message)?.[1]))
      if (place) add(place.from, place.to, index + 1)
      return
    }
    if (!pointer || !tree) return
    const path = pointer.split('/').slice(1).map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    for (let depth = path.length; depth >= 0; depth--) {
      const at = path.slice(0, depth).map((part, i) => (findNodeAtLocation(tree, path.slice(0, i))?.type === 'array' ? Number(part) : part))
      const node = depth === 0 ? tree : findNodeAtLocation(tree, at)
      if (!node) continue
      const end = node.offset + node.length
      if (depth === path.length) add(node.offset, end, index + 1)
      else add(end - 1, end, index + 1)
      return
    }
  })
  return found.sort((a, b) => a.from - b.from || b.to - a.to)
}
