/** A value as indented JSON, its keys set apart. */
export function Json({ value, label = 'JSON' }: { value: unknown; label?: string }) {
  const lines = JSON.stringify(value, null, 2)?.split('\n') ?? []
  return (
    <pre class="json" tabIndex={0} role="region" aria-label={label}>
      {lines.map((line, index) => {
        const key = /^(\s*)("(?:[^"\\]|\\.)*")(: ?)(.*)$/.exec(line)
        return (
          <span key={index}>
            {key ? (
              <>
                {key[1]}
                <span class="json-key">{key[2]}</span>
                {key[3]}
                {key[4]}
              </>
            ) : (
              line
            )}
            {'\n'}
          </span>
        )
      })}
    </pre>
  )
}

/** The value in one line, cut to `length`. */
export function brief(value: unknown, length = 120): string {
  const text = JSON.stringify(value) ?? ''
  return text.length > length ? `${text.slice(0, length - 1)}…` : text
}
