import { encodeFeature, type Feature } from '../feature'
import { FeatureName } from './feature'

export interface Cell {
  text: string
  title: string
  /** 0 to 1: how deep the colour is. */
  heat: number
}

interface Props {
  caption: string
  rows: string
  columns: string
  features: Feature[]
  cell: (row: Feature, column: Feature) => Cell | null
}

/** Features against features, as a table whose cells are shaded. */
export function Matrix({ caption, rows, columns, features, cell }: Props) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={caption}>
      <table class="matrix">
        <caption class="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            <th scope="col" class="corner">
              {rows} ↓ &nbsp; {columns} →
            </th>
            {features.map((feature) => (
              <th key={encodeFeature(feature)} scope="col" class="upright" title={`${feature.category}: ${feature.name}`}>
                <span>{feature.name}</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {features.map((row) => (
            <tr key={encodeFeature(row)}>
              <th scope="row">
                <FeatureName feature={row} />
              </th>
              {features.map((column) => {
                const found = cell(row, column)
                return found ? (
                  <td key={encodeFeature(column)} title={found.title} style={{ backgroundColor: `rgb(var(--heat) / ${(found.heat * 0.5).toFixed(3)})` }}>
                    {found.text}
                  </td>
                ) : (
                  <td key={encodeFeature(column)} class="none" />
                )
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** The features of a matrix: the `top` largest by `weight`, in that order. */
export function largest(features: Map<string, { feature: Feature; weight: number }>, top: number): Feature[] {
  return [...features.values()]
    .sort((a, b) => b.weight - a.weight)
    .slice(0, top)
    .map(({ feature }) => feature)
}

export function weigh(features: Map<string, { feature: Feature; weight: number }>, feature: Feature, weight: number): void {
  const key = encodeFeature(feature)
  const known = features.get(key)
  if (known) known.weight += weight
  else features.set(key, { feature, weight })
}

export const TOPS = [10, 20, 40, 100] as const

export function TopSelect({ value, onChange }: { value: number; onChange: (top: string) => void }) {
  return (
    <label class="inline">
      features{' '}
      <select value={String(value)} onChange={(event) => onChange(event.currentTarget.value)}>
        {TOPS.map((top) => (
          <option key={top} value={String(top)}>
            top {top}
          </option>
        ))}
      </select>
    </label>
  )
}
