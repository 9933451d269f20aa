import { createScanner, format } from 'jsonc-parser'

/*
 * JSON as its sender wrote it. JSON.parse and JSON.stringify would rewrite it: integers above 2^53, `1.10`, `-0`, and
 * the order of keys that look like numbers. So the text is kept, and only the space between its tokens changes.
 */

/** Where each token begins and ends, without the space between them. */
function* tokens(text: string): Generator<[number, number]> {
  const scanner = createScanner(text, true)
  for (scanner.scan(); scanner.getTokenOffset() < text.length; scanner.scan()) yield [scanner.getTokenOffset(), scanner.getTokenOffset() + scanner.getTokenLength()]
}

/** How much deeper the text is nested after a token that begins like this. */
const step = (first: string) => (first === '{' || first === '[' ? 1 : first === '}' || first === ']' ? -1 : 0)

/** JSON.parse, but the value of each outermost member with one of these names stays the text that it was; null is null. */
export function parseKeeping(text: string, names: string[]): unknown {
  const quoted = names.map((name) => JSON.stringify(name))
  const parts: string[] = []
  let [taken, depth, before] = [0, 0, '']
  /** The value that is being read and stays a text. */
  let kept: { from: number; depth: number } | null = null
  for (const [from, to] of tokens(text)) {
    const first = text[from]!
    if (first === ':') {
      if (!kept && quoted.includes(before)) kept = { from: to, depth }
      continue
    }
    depth += step(first)
    if (!kept) before = first === '"' ? text.slice(from, to) : ''
    else if (depth === kept.depth) {
      const value = text.slice(kept.from, to).trim()
      parts.push(text.slice(taken, kept.from), value === 'null' ? value : JSON.stringify(value))
      ;[taken, before, kept] = [to, '', null]
    }
  }
  return JSON.parse(parts.join('') + text.slice(taken))
}

/** A text that was indented, and the new places of its characters. */
export interface Indented {
  text: string
  moved: (place: number) => number
}

/** The text with a line for each member, up to where it is JSON; null if it is nested too deep for that. */
export function indented(text: string): Indented | null {
  // Gigabytes of it would be indentation.
  if (isTooDeep(text)) return null
  const edits = format(text, undefined, { insertSpaces: true, tabSize: 2, eol: '\n' })
  const parts: string[] = []
  let taken = 0
  for (const { offset, length, content } of edits) {
    parts.push(text.slice(taken, offset), content)
    taken = offset + length
  }
  const moved = (place: number) => edits.reduce((sum, { offset, length, content }) => (offset + length <= place ? sum + content.length - length : sum), place)
  return { text: parts.join('') + text.slice(taken), moved }
}

/** Whether it is nested deeper than any accepted event. */
export function isTooDeep(text: string): boolean {
  let depth = 0
  for (const [from] of tokens(text)) if ((depth += step(text[from]!)) > 127) return true
  return false
}

/** In one line, cut to `length`. */
export function brief(text: string, length = 120): string {
  let line = ''
  for (const [from, to] of tokens(text)) {
    if (line.length > length) break
    line += text.slice(from, to)
  }
  return line.length > length ? `${line.slice(0, length - 1)}…` : line
}
