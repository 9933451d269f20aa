import { useEffect, useState } from 'preact/hooks'
import { catalogue } from '../catalogue'
import { current, setParams, useRoute, type Change } from '../router'
import { chipsOf, inRange, PRESETS, scopeOf, toInput, toRfc3339, without, type Chip, type Filter, type Known } from '../scope'

/** The time range and the filters of the page, and all filters of the address. A new filter leads to the first page. */
export function ScopeBar({ filters, known: parameters }: { filters: Filter[]; known: Known | undefined }) {
  const { params } = useRoute()
  const known = catalogue.use()
  const scope = scopeOf(params, filters)
  const chips = chipsOf(params, filters, parameters)
  const last = PRESETS.find(({ last }) => last === params.get('last'))?.last ?? ''
  const ranged = scope.from || scope.to ? 'custom' : 'all'
  const [custom, setCustom] = useState(false)
  const preset = last || (custom ? 'custom' : ranged)
  useEffect(() => setCustom(!last && ranged === 'custom'), [last, ranged])

  const names = known?.features.filter(({ category }) => !scope.category || category === scope.category).map(({ name }) => name) ?? []
  const set = (change: Change) => setParams({ ...change, cursor: null })

  if (!filters.length && !chips.length) return null
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
      {chips.length > 0 && (
        <div class="chips">
          <Chips chips={chips.filter(({ state }) => state === 'applied')} />
          <Chips says="Not used on this page:" chips={chips.filter(({ state }) => state === 'unused')} />
          <Chips says="Not understood, and left out:" alert chips={chips.filter(({ state }) => state === 'unread')} />
          <button type="button" class="quiet" onClick={() => setParams(without(params, chips))}>
            Clear
          </button>
        </div>
      )}
    </div>
  )
}

/** Filters, each of which a press removes. */
function Chips({ says, alert = false, chips }: { says?: string; alert?: boolean; chips: Chip[] }) {
  if (!chips.length) return null
  return (
    <span class={says ? 'idle' : undefined} role={alert ? 'alert' : undefined}>
      {says && <span>{says}</span>}
      {chips.map((chip) => (
        <button key={`${chip.name} ${chip.raw}`} type="button" class={`chip ${alert ? 'wrong' : ''}`} title="Take this filter away" onClick={() => setParams(without(current().params, [chip]))}>
          {chip.label}: <b>{chip.value}</b> <span aria-hidden="true">✕</span>
          <span class="visually-hidden">(remove)</span>
        </button>
      ))}
    </span>
  )
}

/** Read when the focus leaves the field, or at Enter: half a date is no range. */
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
