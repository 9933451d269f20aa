import { catalogue } from '../catalogue'
import { decodeFeature, encodeFeature, sameFeature, type Feature } from '../feature'

interface Props {
  label: string
  value: Feature | null
  none?: string
  onChange: (feature: Feature | null) => void
}

/** Chooses a feature, grouped by category; keeps one that the catalogue does not know. */
export function FeatureSelect({ label, value, none = 'any', onChange }: Props) {
  const known = catalogue.use()
  const features = known?.features ?? []
  const stray = value && !features.some((feature) => sameFeature(feature, value))
  return (
    <label class="field">
      <span>{label}</span>
      <select value={value ? encodeFeature(value) : ''} onChange={(event) => onChange(decodeFeature(event.currentTarget.value))}>
        <option value="">{none}</option>
        {stray && <option value={encodeFeature(value)}>{value.name}</option>}
        {known?.categories.map((category) => (
          <optgroup key={category} label={category}>
            {features
              .filter((feature) => feature.category === category)
              .map((feature) => (
                <option key={encodeFeature(feature)} value={encodeFeature(feature)}>
                  {feature.name}
                </option>
              ))}
          </optgroup>
        ))}
      </select>
    </label>
  )
}

/** A few choices beside each other; one is pressed. */
export function Choice<T extends string>({ label, options, value, onChange }: { label: string; options: [T, string][]; value: T; onChange: (value: T) => void }) {
  return (
    <span class="choice" role="group" aria-label={label}>
      {options.map(([option, text]) => (
        <button key={option} type="button" aria-pressed={option === value} onClick={() => onChange(option)}>
          {text}
        </button>
      ))}
    </span>
  )
}
