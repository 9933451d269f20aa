import { useEffect, useState } from 'preact/hooks'
import { catalogue } from '../catalogue'
import type { Filter } from '../pages'
import { setParams, useRoute, type Change } from '../router'
import { inRange, PRESETS, scopeOf, toInput, toRfc3339 } from '../scope'

/** The time range and the filters; all of it is in the address. A new filter starts paging anew. */
export function ScopeBar({ filters }: { filters: Filter[] }) {
  const { params } = useRoute()
  const known = catalogue.use()
  const scope = scopeOf(params)
  const last = params.get('last') ?? ''
  const ranged = scope.from || scope.to ? 'custom' : 'all'
  const [custom, setCustom] = useState(false)
  const preset = last || (custom ? 'custom' : ranged)
  useEffect(() => setCustom(!last && ranged === 'custom'), [last, ranged])

  const names = known?.features.filter(({ category }) => !scope.category || category === scope.category).map(({ name }) => name) ?? []
  const set = (change: Change) => setParams({ ...change, cursor: null })

  return (
    <div class="scope" role="group" aria-label="Time range and filters">
      {filters.includes('range') && (
        <>
          <label class="field">
            <span>Time range (UTC)</span>
            <select
              value={preset}
              onChange={(event) => {
                const chosen = event.currentTarget.value
                setCustom(chosen === 'custom')
                if (chosen === 'all') set({ from: null, to: null, last: null })
                else if (chosen !== 'custom') set({ from: null, to: null, last: chosen })
                else if (last) set({ from: scope.from ?? null, to: null, last: null })
              }}
            >
              <option value="all">All time</option>
              {PRESETS.map(({ last, label }) => (
                <option key={last} value={last}>
                  {label}
                </option>
              ))}
              <option value="custom">From … to …</option>
            </select>
          </label>
          {preset === 'custom' && (
            <>
              <TimeInput label="From" value={scope.from} onChange={(from) => set(inRange(from, params.get('to')))} />
              <TimeInput label="To (exclusive)" value={scope.to} onChange={(to) => set(inRange(params.get('from'), to))} />
            </>
          )}
        </>
      )}
      {filters.includes('app') && <Select label="Application" value={scope.app} options={known?.apps ?? []} onChange={(app) => set({ app })} />}
      {filters.includes('category') && (
        <Select label="Category" value={scope.category} options={known?.categories ?? []} onChange={(category) => set({ category, name: null })} />
      )}
      {filters.includes('name') && <Select label="Name" value={scope.name} options={[...new Set(names)].sort()} onChange={(name) => set({ name })} />}
      {[...filters, 'from', 'to', 'last'].some((filter) => params.has(filter)) && (
        <button type="button" class="quiet" onClick={() => set({ from: null, to: null, last: null, app: null, category: null, name: null })}>
          Clear
        </button>
      )}
    </div>
  )
}

/** Taken when one leaves the field or presses Enter: half a date is no range. */
function TimeInput({ label, value, onChange }: { label: string; value?: string; onChange: (rfc: string | null) => void }) {
  const take = (input: HTMLInputElement) => {
    if (toRfc3339(input.value) !== toRfc3339(toInput(value))) onChange(toRfc3339(input.value))
  }
  return (
    <label class="field">
      <span>{label}</span>
      <input
        type="datetime-local"
        value={toInput(value)}
        onBlur={(event) => take(event.currentTarget)}
        onKeyDown={(event) => event.key === 'Enter' && take(event.currentTarget)}
      />
    </label>
  )
}

function Select({ label, value, options, onChange }: { label: string; value?: string; options: string[]; onChange: (value: string | null) => void }) {
  return (
    <label class="field">
      <span>{label}</span>
      <select value={value ?? ''} onChange={(event) => onChange(event.currentTarget.value || null)}>
        <option value="">all</option>
        {value && !options.includes(value) && <option>{value}</option>}
        {options.map((option) => (
          <option key={option}>{option}</option>
        ))}
      </select>
    </label>
  )
}
