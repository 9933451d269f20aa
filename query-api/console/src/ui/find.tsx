import { useEffect, useState } from 'preact/hooks'

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i

interface Props {
  label: string
  value: string | null
  button: string
  help: string
  onFind: (id: string | null) => void
}

/** A field for an id (UUID). An empty field clears what was found. */
export function FindById({ label, value, button, help, onFind }: Props) {
  const [text, setText] = useState(value ?? '')
  const [wrong, setWrong] = useState(false)
  useEffect(() => (setText(value ?? ''), setWrong(false)), [value])
  return (
    <form
      class="find"
      role="search"
      onSubmit={(event) => {
        event.preventDefault()
        const id = text.trim().toLowerCase()
        setWrong(id !== '' && !UUID.test(id))
        if (id === '') onFind(null)
        else if (UUID.test(id)) onFind(id)
      }}
    >
      <label class="field">
        <span>{label}</span>
        <input class="mono" size={38} spellcheck={false} autocomplete="off" placeholder="e2085be5-9137-4e4e-80b5-f1ffddc25423" value={text} aria-invalid={wrong} aria-describedby="find-help" onInput={(event) => setText(event.currentTarget.value)} />
      </label>
      <button type="submit" class="primary">
        {button}
      </button>
      <p id="find-help" class={wrong ? 'wrong' : 'muted'} role={wrong ? 'alert' : undefined}>
        {wrong ? 'This is not an id: an id has 32 hexadecimal digits, as in the example.' : help}
      </p>
    </form>
  )
}
