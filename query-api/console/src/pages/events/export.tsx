import { useState } from 'preact/hooks'
import * as api from '../../api'
import { curl, Problem, send } from '../../ask'
import { bytes } from '../../format'
import type { Scope } from '../../scope'
import { CodeButton } from '../../ui/code'

/** All events that pass the filters, as a file. */
export function Export({ scope, sessionId }: { scope: Scope; sessionId: string | null }) {
  const [said, setSaid] = useState('')
  const question = api.events(scope, { session_id: sessionId })

  async function save({ accept, file, label }: (typeof api.EXPORTS)[number]) {
    try {
      setSaid(`${label} on its way…`)
      const response = await send(question, accept)
      const blob = await response.blob()
      const link = document.createElement('a')
      link.href = URL.createObjectURL(blob)
      link.download = file
      link.click()
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
      setSaid(`${file}: ${bytes(blob.size)}`)
    } catch (problem) {
      setSaid(problem instanceof Problem ? problem.message : `The export broke off. For a large one take curl.`)
    }
  }

  return (
    <details class="menu-box">
      <summary>Export</summary>
      <div>
        <p class="muted">All events that pass the filters.</p>
        {api.EXPORTS.map((format) => (
          <p key={format.label} class="actions">
            <button type="button" onClick={() => save(format)}>
              {format.label}
            </button>
            <CodeButton label="curl" title={`Export as ${format.label}: copy as curl`} text={() => `${curl(question, format.accept)} \\\n  -o ${format.file}`} note="For many millions of events: straight to a file." />
          </p>
        ))}
        <p role="status">{said}</p>
      </div>
    </details>
  )
}
