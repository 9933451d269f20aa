import { useEffect, useState } from 'preact/hooks'
import * as api from '../api'
import type { LiveVerdict } from '../api'
import { curl, readerKey } from '../ask'
import { count, time } from '../format'
import { brief } from '../json/text'
import { useMoment, type AsOf } from '../moment'
import { elsewhere, setParams, useRoute } from '../router'
import type { Known } from '../scope'
import { CodeButton } from '../ui/code'
import { Choice } from '../ui/feature-select'
import { FeatureName } from '../ui/feature'
import { follow } from './live/follow'

/** How many verdicts the page keeps. */
const KEPT = 200

type Shown = 'all' | LiveVerdict['verdict']
const SHOWN: [Shown, string][] = [['all', 'All'], ['accepted', 'Accepted'], ['rejected', 'Rejected'], ['duplicate', 'Duplicate']]

export const params: Known = { verdict: SHOWN.map(([name]) => name) }

export default function Live() {
  const { params } = useRoute()
  const show = SHOWN.find(([name]) => name === params.get('verdict'))?.[0] ?? 'all'
  const key = readerKey.use()
  const [connected, setConnected] = useState<boolean | null>(null)
  const [verdicts, setVerdicts] = useState<LiveVerdict[]>([])
  /** The verdicts that the page shows during a pause. Others come in meanwhile, and are shown after it. */
  const [held, setHeld] = useState<{ verdicts: LiveVerdict[]; seen: number } | null>(null)
  const [counts, setCounts] = useState({ accepted: 0, rejected: 0, duplicate: 0, skipped: 0 })
  const [asOf, setAsOf] = useState<AsOf>()
  useMoment(asOf)

  useEffect(() => {
    const abort = new AbortController()
    // All that arrives within a frame is drawn together.
    let arrived: LiveVerdict[] = []
    let skipped = 0
    const draw = () => {
      const [news, missed] = [arrived, skipped]
      arrived = []
      skipped = 0
      setCounts((counts) => news.reduce((sum, { verdict }) => ({ ...sum, [verdict]: sum[verdict] + 1 }), { ...counts, skipped: counts.skipped + missed }))
      setVerdicts((kept) => [...news.reverse(), ...kept].slice(0, KEPT))
    }
    let drawing = 0
    const soon = () => {
      if (!drawing) drawing = setTimeout(() => ((drawing = 0), draw()), 50) as unknown as number
    }
    follow(api.live(), abort.signal, {
      connected: setConnected,
      event(name, data) {
        if (name === 'as_of') return setAsOf(data as AsOf)
        if (name === 'skipped') skipped += (data as { verdicts: number }).verdicts
        else if (name === 'accepted' || name === 'rejected' || name === 'duplicate') arrived.push(data as LiveVerdict)
        soon()
      },
    })
    return () => {
      abort.abort()
      clearTimeout(drawing)
    }
  }, [key])

  const seen = counts.accepted + counts.rejected + counts.duplicate
  const missed = held ? seen - held.seen : 0
  const shown = (held?.verdicts ?? verdicts).filter(({ verdict }) => show === 'all' || verdict === show)
  return (
    <>
      <dl class="tiles" aria-label="Since the page was opened">
        {(['accepted', 'rejected', 'duplicate'] as const).map((verdict) => (
          <div key={verdict}>
            <dt>{verdict[0]!.toUpperCase() + verdict.slice(1)}</dt>
            <dd data-test={verdict}>{count(counts[verdict])}</dd>
          </div>
        ))}
        <div>
          <dt>Stream</dt>
          <dd>
            <span role="status" class={`badge ${connected ? 'good' : connected === null ? '' : 'bad'}`}>
              {connected ? 'connected' : connected === null ? 'connecting…' : 'broken, trying again'}
            </span>
            {counts.skipped > 0 && <small>{count(counts.skipped)} in no count: too many at once</small>}
          </dd>
        </div>
      </dl>
      <section class="panel live" aria-labelledby="live-heading">
        <header>
          <h2 id="live-heading">As they come in</h2>
          <div class="tools">
            <Choice<Shown> label="Verdict" options={SHOWN} value={show} onChange={(verdict) => setParams({ verdict: verdict === 'all' ? null : verdict }, { replace: true })} />
            <button type="button" aria-pressed={!!held} onClick={() => setHeld(held ? null : { verdicts, seen })}>
              {held ? 'Paused' : 'Pause'}
            </button>
            <CodeButton label="curl" title="Live: copy as curl" text={() => curl(api.live()).replace('curl -sS', 'curl -sSN')} />
          </div>
        </header>
        {missed > 0 && (
          <p class="note" data-test="missed">
            {count(missed)} more came in{missed > KEPT && `; the last ${KEPT} of them are kept`}.
          </p>
        )}
        {shown.length ? (
          <Verdicts verdicts={shown} />
        ) : (
          <div class="state">
            <p>
              <strong>{held ? 'Paused.' : 'Waiting for the next event.'}</strong>
            </p>
            <p class="muted">Each shows up here a second or so after the gateway has taken it. Try one:</p>
            <pre tabIndex={0}>{`EYE_URL=http://127.0.0.1:8080 EYE_KEY=demo-key    # of the local stack; yours in production
curl $EYE_URL/events -H "Authorization: Bearer $EYE_KEY" -H 'Content-Type: application/json' -d '
  {"session_id": "e2085be5-9137-4e4e-80b5-f1ffddc25423", "category": "page interaction", "name": "pageview",
   "data": {"host": "www.example.com", "path": "/"}, "timestamp": "${new Date().toISOString()}"}'`}</pre>
          </div>
        )}
      </section>
    </>
  )
}

function Verdicts({ verdicts }: { verdicts: LiveVerdict[] }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Verdicts as they come in">
      <table>
        <caption class="visually-hidden">Verdicts as they come in, the newest first</caption>
        <thead>
          <tr>
            <th scope="col">Received (UTC)</th>
            <th scope="col">Verdict</th>
            <th scope="col">Feature</th>
            <th scope="col">App</th>
            <th scope="col">Session</th>
            <th scope="col">Data or reasons</th>
          </tr>
        </thead>
        <tbody>
          {verdicts.map((verdict) => (
            <tr key={`${verdict.partition}-${verdict.offset}`} data-event={verdict.event_id}>
              <td class="mono nowrap">{time(verdict.received_at).slice(11)}</td>
              <td>
                <a href={elsewhere('problems', { event: verdict.event_id })} title="What became of it">
                  <span class={`badge ${verdict.verdict}`}>{verdict.verdict}</span>
                </a>
              </td>
              <td>{verdict.name ? <FeatureName feature={verdict} link={verdict.verdict === 'accepted'} /> : <span class="muted">–</span>}</td>
              <td>{verdict.app}</td>
              <td>
                <a class="mono" href={elsewhere(`sessions/${verdict.session_id}`)} title={verdict.session_id}>
                  {verdict.session_id.slice(0, 8)}
                </a>
              </td>
              <td>
                {verdict.verdict === 'rejected' ? verdict.reasons.map(({ code, pointer }) => `${code} ${pointer}`).join(', ') : verdict.data !== null && <code class="cut">{brief(verdict.data)}</code>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
