import { catalogue, categoryColour } from '../catalogue'
import type { Feature } from '../feature'
import { elsewhere } from '../router'

/** A feature by its name, with the colour of its category; leads to its usage. */
export function FeatureName({ feature, link = true }: { feature: Feature; link?: boolean }) {
  catalogue.use() // knows the colours
  const inner = (
    <>
      <i class={`dot c${categoryColour(feature.category)}`} aria-hidden="true" />
      <span class="category">{feature.category}</span> <span class="name">{feature.name}</span>
    </>
  )
  return link ? (
    <a class="feature" href={elsewhere('usage', { category: feature.category, name: feature.name })}>
      {inner}
    </a>
  ) : (
    <span class="feature">{inner}</span>
  )
}

/** Steps one after another. */
export function Steps({ steps }: { steps: Feature[] }) {
  return (
    <ol class="steps">
      {steps.map((step, index) => (
        <li key={index}>
          <FeatureName feature={step} link={false} />
        </li>
      ))}
    </ol>
  )
}
