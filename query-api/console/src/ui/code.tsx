import { useEffect, useRef, useState } from 'preact/hooks'

/** A button that opens a text (SQL, curl) to read and copy. */
export function CodeButton({ label, title, text, note }: { label: string; title: string; text: () => string; note?: string }) {
  const [open, setOpen] = useState(false)
  return (
    <>
      <button type="button" class="quiet" title={title} aria-haspopup="dialog" onClick={() => setOpen(true)}>
        {label}
      </button>
      {open && <CodeDialog title={title} text={text()} note={note} onClose={() => setOpen(false)} />}
    </>
  )
}

function CodeDialog({ title, text, note, onClose }: { title: string; text: string; note?: string; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog ref={dialog} class="code" aria-label={title} onClose={onClose} onClick={(event) => event.target === dialog.current && event.currentTarget.close()}>
      <header>
        <h2>{title}</h2>
        <Copy text={text} />
        <button type="button" class="quiet" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </header>
      <pre tabIndex={0}>{text}</pre>
      {note && <p class="muted">{note}</p>}
    </dialog>
  )
}

export function Copy({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [said, setSaid] = useState('')
  async function copy() {
    try {
      await navigator.clipboard.writeText(text)
      setSaid('Copied')
    } catch {
      setSaid('Copying is not allowed here: select the text')
    }
    setTimeout(() => setSaid(''), 2000)
  }
  return (
    <>
      <button type="button" onClick={copy}>
        {said || label}
      </button>
      <span class="visually-hidden" role="status">
        {said}
      </span>
    </>
  )
}
