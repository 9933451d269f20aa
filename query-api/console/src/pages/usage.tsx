import * as api from '../api'
import type { FeatureUse } from '../api'
import { useAnswer } from '../ask'
import { catalogue } from '../catalogue'
import { encodeFeature, type Feature } from '../feature'
import { ago, count, day, percent, second } from '../format'
import { useScope } from '../pages'
import { elsewhere, setParams, useRoute } from '../router'
import { bucketEnd, fittingInterval, inRange, INTERVALS, type Interval, type Known } from '../scope'
import * as sql from '../sql'
import { Choice } from '../ui/feature-select'
import { FeatureName } from '../ui/feature'
import { Panel } from '../ui/panel'
import { Loading } from '../ui/states'
import { BarCell, Table } from '../ui/table'
import { Tile } from '../ui/tile'
import { Apps } from './usage/apps'
import { OverTime } from './usage/over-time'

const SHOWN = 8
type By = 'events' | 'sessions'

export const params: Known = { by: ['events', 'sessions'], interval: INTERVALS }

export default function Usage() {
  const { params } = useRoute()
  const scope = useScope()
  const by: By = params.get('by') === 'sessions' ? 'sessions' : 'events'
  const known = catalogue.use()

  const most = api.features(scope, 'most', by)
  const least = api.features(scope, 'least', by, SHOWN)
  const unused = api.unused(scope)
  const used = useAnswer(most)
  const rare = useAnswer(least)
  const never = useAnswer(unused)

  const asked = params.get('interval') as Interval
  const from = scope.from ?? known?.first
  const to = scope.to ?? known?.last
  const span = from && to ? Date.parse(to) - Date.parse(from) : null
  const interval = INTERVALS.includes(asked) ? asked : span !== null ? fittingInterval(span) : known ? 'day' : null
  const feature = scope.category && scope.name ? { category: scope.category, name: scope.name } : null

  const byChoice = (
    <Choice<By> label="Count use by" options={[['events', 'Events'], ['sessions', 'Sessions']]} value={by} onChange={(by) => setParams({ by: by === 'events' ? null : by })} />
  )

  return (
    <>
      {feature && <FeatureLinks feature={feature} />}
      <dl class="tiles" aria-label="Totals">
        <Tile label="Events" test="events" answer={used} figure={({ total }) => count(total.events)} />
        <Tile label="Sessions" test="sessions" answer={used} figure={({ total }) => count(total.sessions)} />
        <Tile label="Features used" test="used" answer={used} figure={({ features }) => count(features.length)} />
        <Tile label="Never used" test="unused" answer={never} figure={({ features }) => count(features.length)} />
        <Tile label="Last use" test="last-use" answer={used} figure={({ features }) => (features.length ? ago(latest(features)) : '–')} more={({ features }) => second(latest(features))} />
      </dl>

      <p class="rank">Rank by {byChoice}</p>
      <div class="columns">
        <Panel
          title="Most used"
          class="most"
          question={most}
          answer={used}
          sql={sql.features(scope, 'most', by)}
          isEmpty={({ features }) => !features.length}
          table={({ features }) => <Ranking caption="Most used features" by={by} features={features.slice(0, SHOWN)} />}
        />
        <Panel
          title="Rarely used"
          class="least"
          question={least}
          answer={rare}
          sql={sql.features(scope, 'least', by, SHOWN)}
          isEmpty={({ features }) => !features.length}
          table={({ features }) => <Ranking caption="Least used features" by={by} features={features} of={used.value?.features[0]?.[by]} />}
        />
        <Panel
          title="Never used"
          class="never"
          question={unused}
          answer={never}
          sql={never.value?.declared.length ? sql.unused(scope, never.value.declared) : undefined}
          note={(scope.from || scope.to) && 'Not in this time range; the last use is outside of it.'}
          isEmpty={({ features }) => !features.length}
          empty={
            <p>
              <strong>{scope.category || scope.name ? 'Every declared feature that passes the filters was used.' : 'Every declared feature was used.'}</strong>
            </p>
          }
          table={({ features }) => (
            <Table
              caption="Declared features that were never used"
              rows={features}
              rowKey={encodeFeature}
              columns={[
                { label: 'Declared feature', cell: (feature) => <FeatureName feature={feature} /> },
                { label: 'Last use', cell: ({ last_seen }) => (last_seen ? day(last_seen) : 'never at all'), class: 'nowrap muted' },
              ]}
            />
          )}
        />
      </div>

      {interval === null ? (
        <section class="panel">
          <Loading />
        </section>
      ) : (
        <OverTime scope={scope} interval={interval} onPick={(start, interval) => setParams({ ...inRange(start, bucketEnd(start, interval)), interval: null })} />
      )}

      <Apps scope={scope} />

      <Panel
        title="All features"
        class="all"
        question={most}
        answer={used}
        sql={sql.features(scope, 'most', by)}
        isEmpty={({ features }) => !features.length}
        table={({ features, total }) => <AllFeatures features={features} events={total.events} />}
      />
    </>
  )
}

const latest = (features: FeatureUse[]) => features.reduce<string | null>((last, { last_seen }) => (last && last > last_seen ? last : last_seen), null)

function Ranking({ caption, features, by, of }: { caption: string; features: FeatureUse[]; by: By; of?: number }) {
  const largest = of ?? Math.max(...features.map((feature) => feature[by]))
  return (
    <Table
      caption={caption}
      rows={features}
      rowKey={encodeFeature}
      columns={[
        { label: 'Feature', cell: (feature) => <FeatureName feature={feature} /> },
        { label: by === 'events' ? 'Events' : 'Sessions', cell: (feature) => <BarCell value={feature[by]} of={largest} />, class: 'half' },
      ]}
    />
  )
}

function AllFeatures({ features, events }: { features: FeatureUse[]; events: number }) {
  const largest = Math.max(...features.map((feature) => feature.events))
  return (
    <Table
      caption="All used features"
      rows={features}
      rowKey={encodeFeature}
      columns={[
        { label: 'Feature', cell: (feature) => <FeatureName feature={feature} />, sort: encodeFeature },
        { label: 'Events', cell: (feature) => <BarCell value={feature.events} of={largest} />, sort: (feature) => feature.events, number: true },
        { label: 'Share', cell: (feature) => percent(feature.events, events), sort: (feature) => feature.events, number: true },
        { label: 'Sessions', cell: (feature) => count(feature.sessions), sort: (feature) => feature.sessions, number: true },
        { label: 'Per session', cell: (feature) => (feature.events / feature.sessions).toFixed(1), sort: (feature) => feature.events / feature.sessions, number: true },
        { label: 'First seen', cell: (feature) => second(feature.first_seen), sort: (feature) => feature.first_seen, class: 'nowrap' },
        { label: 'Last seen', cell: (feature) => second(feature.last_seen), sort: (feature) => feature.last_seen, class: 'nowrap' },
      ]}
    />
  )
}

/** Links from one feature to other pages. */
function FeatureLinks({ feature }: { feature: Feature }) {
  const encoded = encodeFeature(feature)
  const none = { category: null, name: null }
  return (
    <section class="panel" aria-label="The chosen feature">
      <p class="actions feature-links">
        <FeatureName feature={feature} link={false} />
        <a href={elsewhere('order/flow', { ...none, start: encoded })}>What follows</a>
        <a href={elsewhere('order/flow', { ...none, end: encoded })}>What leads to it</a>
        <a href={elsewhere('order/paths', { ...none, through: encoded })}>Paths through it</a>
        <a href={elsewhere('events')}>Its events</a>
        <a href={elsewhere('problems')}>Its problems</a>
        <a href={elsewhere('event-types', { ...none, type: encoded })}>Its schema</a>
        <a href={elsewhere('usage', none)}>All features</a>
      </p>
    </section>
  )
}
