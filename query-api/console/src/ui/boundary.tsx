import type { ComponentChildren } from 'preact'
import { useEffect, useErrorBoundary } from 'preact/hooks'

interface Props {
  /** The name of the part, as the subject of the sentence that it can't be shown. */
  what: string
  /** The data that the children show. The boundary tries again with other data. */
  of?: unknown
  children: () => ComponentChildren
}

/** A fault in drawing ends here: this part says so, and the rest of the page works. */
export function Boundary({ what, of, children }: Props) {
  const [error, again] = useErrorBoundary((error) => console.error(error))
  useEffect(() => void (error && again()), [of])
  if (!error) return <Inside draw={children} />
  return (
    <div class="state problem" role="alert">
      <p>
        <strong>{what} can't be shown: a fault of the console.</strong>
      </p>
      <p class="muted">{String(error)}</p>
      <button type="button" onClick={again}>
        Try again
      </button>
    </div>
  )
}

/** A component of its own: a boundary catches what its children throw, not what it throws itself. */
const Inside = ({ draw }: { draw: () => ComponentChildren }) => <>{draw()}</>
