import { useState } from 'preact/hooks'
import type { Reason } from '../../api'
import { bytes } from '../../format'
import { indented } from '../../json/text'
import { Choice } from '../../ui/feature-select'
import { parts, textOf } from './bytes'
import { marks, type Mark } from './marks'

interface Props {
  raw: string
  /** The exact bytes, if `raw` can't hold them. */
  base64: string | null
  reasons: Reason[]
  total?: number
  size?: number
}

/** A record as it arrived, with each reason at its place. */
export function RawRecord({ raw, base64, reasons, total = reasons.length, size }: Props) {
  const [view, setView] = useState<'sent' | 'indented'>('sent')
  const sent = textOf(raw, base64)
  const inLines = view === 'indented' ? indented(sent) : null
  const text = inLines?.text ?? sent
  // A mark includes its first and its last character.
  const at = marks(sent, reasons).map((mark) => (inLines ? { ...mark, from: inLines.moved(mark.from), to: inLines.moved(mark.to - 1) + 1 } : mark))
  return (
    <div class="raw">
      <div>
        <div class="actions">
          <Choice<'sent' | 'indented'> label="Show the record" options={[['sent', 'As sent'], ['indented', 'Indented']]} value={view} onChange={setView} />
          <span class="muted">
            {size !== undefined && bytes(size)}
            {size !== undefined && size > 65_536 && ', the first 64 KiB of it'}
          </span>
          {view === 'indented' && !inLines && <span class="muted">Nested too deep to be indented: as sent.</span>}
          {parts(sent).some((part) => typeof part !== 'string') && (
            <span class="muted">
              Bytes that can't be seen as text: <span class="bytes">\xff</span>
            </span>
          )}
        </div>
        <pre class="record" tabIndex={0} role="region" aria-label="The record as it came">
          {raw === '' ? <span class="muted">(no bytes)</span> : marked(text, at)}
        </pre>
      </div>
      <ol class="reasons" aria-label="Reasons">
        {reasons.map((reason, index) => (
          <li key={index}>
            <span class="place" aria-hidden="true">
              {index + 1}
            </span>
            <div>
              <b>{reason.code}</b> {reason.pointer && <code>{reason.pointer}</code>} {reason.keyword && <span class="muted">keyword {reason.keyword}</span>}
              <p>{reason.message}</p>
            </div>
          </li>
        ))}
        {total > reasons.length && <li class="muted">and {total - reasons.length} more</li>}
      </ol>
    </div>
  )
}

/** The text with its marks. If two marks overlap, the inner one is drawn inside the outer one. */
function marked(text: string, all: Mark[], from = 0, to = text.length): preact.ComponentChildren[] {
  const out: preact.ComponentChildren[] = []
  let at = from
  for (let i = 0; i < all.length; i++) {
    const mark = all[i]!
    if (mark.from < at || mark.to > to) continue
    const inside = all.slice(i + 1).filter((other) => other.to <= mark.to)
    out.push(visible(text.slice(at, mark.from)))
    out.push(
      <mark key={mark.from}>
        {marked(text, inside, mark.from, mark.to)}
        <sup>
          <span class="visually-hidden">reason </span>
          {mark.reasons.join(', ')}
        </sup>
      </mark>,
    )
    at = mark.to
  }
  out.push(visible(text.slice(at, to)))
  return out
}

/** The text, with its invisible characters in hex. */
const visible = (text: string) => parts(text).map((part, index) => (typeof part === 'string' ? part : <Bytes key={index} bytes={part} />))

function Bytes({ bytes }: { bytes: number[] }) {
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, '0'))
  const label = hex.length === 1 ? `byte ${hex}` : hex.length <= 8 ? `bytes ${hex.join(' ')}` : `${hex.length} bytes that are not text`
  return (
    <span class="bytes" role="img" aria-label={label}>
      {hex.map((byte) => `\\x${byte}`).join('')}
    </span>
  )
}
