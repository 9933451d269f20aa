import { applyEdits, format } from 'jsonc-parser'
import { useState } from 'preact/hooks'
import type { Reason } from '../../api'
import { bytes } from '../../format'
import { Choice } from '../../ui/feature-select'
import { marks, type Mark } from './marks'

/** A record as it came, with each reason at its place. */
export function RawRecord({ raw, reasons, total = reasons.length, size }: { raw: string; reasons: Reason[]; total?: number; size?: number }) {
  const [view, setView] = useState<'sent' | 'indented'>('sent')
  const text = view === 'sent' ? raw : applyEdits(raw, format(raw, undefined, { insertSpaces: true, tabSize: 2 }))
  return (
    <div class="raw">
      <div>
        <div class="actions">
          <Choice<'sent' | 'indented'> label="Show the record" options={[['sent', 'As sent'], ['indented', 'Indented']]} value={view} onChange={setView} />
          <span class="muted">
            {size !== undefined && bytes(size)}
            {size !== undefined && size > 65_536 && ', the first 64 KiB of it'}
            {raw.includes('\uFFFD') && ', bytes that are not UTF-8 shown as �'}
          </span>
        </div>
        <pre class="record" tabIndex={0} role="region" aria-label="The record as it came">
          {raw === '' ? <span class="muted">(no bytes)</span> : marked(text, marks(text, reasons))}
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

/** The text with its marks; of two that overlap the inner one is drawn inside the outer. */
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

/** Control characters as their pictures. */
const visible = (text: string) => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, (c) => (c === '\u007f' ? '\u2421' : String.fromCharCode(0x2400 + c.charCodeAt(0))))
