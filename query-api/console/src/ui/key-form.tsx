import { useEffect, useRef } from 'preact/hooks'
import { readerKey, setReaderKey } from '../ask'

/** Shown when the API answers 401. */
export function KeyForm() {
  const input = useRef<HTMLInputElement>(null)
  useEffect(() => input.current?.focus(), [])
  return (
    <form
      class="panel key"
      onSubmit={(event) => {
        event.preventDefault()
        setReaderKey(input.current?.value.trim() || null)
      }}
    >
      <label class="field">
        <span>Reader key</span>
        <input ref={input} type="password" autocomplete="off" required aria-describedby="key-help" />
      </label>
      <button type="submit" class="primary">
        Use this key
      </button>
      <p id="key-help" class="muted">
        {readerKey.get() ? 'The query API does not know the key you gave.' : 'The query API answers only readers with a key.'} Ask the operator of The Eye for a reader key.
        It is kept in this tab only, until the tab is closed.
      </p>
    </form>
  )
}
