import { useState } from 'preact/hooks'
import type { EventType } from '../../api'
import { count, second } from '../../format'
import { indented } from '../../json/text'
import { Json } from '../../json/view'
import { elsewhere, setParams } from '../../router'
import { Copy } from '../../ui/code'
import { Choice } from '../../ui/feature-select'
import { FeatureName } from '../../ui/feature'

/** One event type: each version's schema, the examples, and how much it is used. */
export function TypeDetail({ type }: { type: EventType }) {
  const [version, setVersion] = useState(String(type.version))
  const shown = type.versions.find((one) => String(one.version) === version) ?? type.versions.at(-1)
  const schema = shown ? (indented(shown.schema)?.text ?? shown.schema) : ''
  const filters = { category: type.category, name: type.name, type: null }
  return (
    <section class="panel type" aria-labelledby="type-heading">
      <header>
        <h2 id="type-heading">
          <FeatureName feature={type} link={false} />
        </h2>
        <div class="tools">
          <button type="button" class="quiet" onClick={() => setParams({ type: null })}>
            Close
          </button>
        </div>
      </header>
      {type.description && <p class="note">{type.description}</p>}
      <dl class="facts">
        <Fact label="Events">{type.events ? <a href={elsewhere('usage', filters)}>{count(type.events)}</a> : 'never used'}</Fact>
        <Fact label="Sessions">{count(type.sessions)}</Fact>
        <Fact label="First seen">{second(type.first_seen)}</Fact>
        <Fact label="Last seen">{second(type.last_seen)}</Fact>
        <Fact label="Rejected">
          <a href={elsewhere('problems', filters)}>look at its problems</a>
        </Fact>
        {type.personal.length > 0 && (
          <Fact label="Personal data">
            <code>{type.personal.join(', ')}</code>
          </Fact>
        )}
      </dl>
      <div class="columns">
        <div>
          <div class="actions sub">
            <h3>Schema of data</h3>
            {type.versions.length > 1 ? (
              <Choice label="Version" options={type.versions.map(({ version }) => [String(version), `v${version}`])} value={String(shown?.version)} onChange={setVersion} />
            ) : (
              <span class="badge">version {type.version}</span>
            )}
            <Copy text={schema} />
          </div>
          <Json text={schema} label="Schema" />
        </div>
        <div>
          <h3 class="sub">Examples</h3>
          {type.examples.length === 0 && <p class="muted">None.</p>}
          {[...type.examples].sort((a, b) => Number(b.valid) - Number(a.valid)).map((example, index) => (
            <div key={index} class="example">
              <p>
                <span class={`badge ${example.valid ? 'accepted' : 'rejected'}`}>{example.valid ? 'valid' : 'refused'}</span>{' '}
                <span class="muted">{example.reasons.join(', ')}</span>
              </p>
              {example.event?.startsWith('"') ? (
                // It is no JSON, and is shown as it would be sent.
                <pre tabIndex={0}>{JSON.parse(example.event)}</pre>
              ) : (
                <Json text={example.event ?? 'null'} label={`Example ${index + 1}`} />
              )}
            </div>
          ))}
        </div>
      </div>
    </section>
  )
}

const Fact = ({ label, children }: { label: string; children: preact.ComponentChildren }) => (
  <div>
    <dt>{label}</dt>
    <dd>{children}</dd>
  </div>
)
