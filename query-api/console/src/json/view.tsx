import { indented } from './text'

/** JSON with a line for each member, its keys set apart. JSON that is nested too deep for that stays as it was sent. */
export function Json({ text, label = 'JSON' }: { text: string; label?: string }) {
  const lines = (indented(text)?.text ?? text).split('\n')
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
