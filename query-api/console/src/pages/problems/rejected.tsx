import { Fragment } from 'preact'
import { useState } from 'preact/hooks'
import * as api from '../../api'
import type { Rejection } from '../../api'
import { useAnswer } from '../../ask'
import { plural, second } from '../../format'
import { setParams, useRoute } from '../../router'
import type { Scope } from '../../scope'
import * as sql from '../../sql'
import { Boundary } from '../../ui/boundary'
import { FeatureName } from '../../ui/feature'
import { Panel } from '../../ui/panel'
import { RawRecord } from './raw'
import { NothingRejected } from './summary'

const LIMIT = 50

/** The rejected records, the last received first; each with its bytes and its reasons. */
export function Rejected({ scope, reason }: { scope: Scope; reason: string | null }) {
  const { params } = useRoute()
  const cursor = params.get('cursor')
  const question = api.rejections(scope, { reason, limit: LIMIT, cursor })
  const answer = useAnswer(question)
  return (
    <Panel
      title="Rejected records"
      class="rejected"
      question={question}
      answer={answer}
      sql={sql.rejections(scope, reason, LIMIT)}
      isEmpty={({ rejections }) => !rejections.length}
      empty={<NothingRejected />}
      table={({ rejections, next_cursor }) => (
        <>
          <Records rejections={rejections} />
          {(cursor || next_cursor) && (
            <p class="actions pages">
              {cursor && (
                <button type="button" onClick={() => setParams({ cursor: null })}>
                  First page
                </button>
              )}
              {next_cursor && (
                <button type="button" onClick={() => setParams({ cursor: next_cursor })}>
                  Next {LIMIT}
                </button>
              )}
            </p>
          )}
        </>
      )}
    />
  )
}

function Records({ rejections }: { rejections: Rejection[] }) {
  const [open, setOpen] = useState<string | null>(null)
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Rejected records">
      <table>
        <caption class="visually-hidden">Rejected records</caption>
        <thead>
          <tr>
            <th scope="col">Received (UTC)</th>
            <th scope="col">Reasons</th>
            <th scope="col">Event type</th>
            <th scope="col">App</th>
            <th scope="col">Place</th>
            <th scope="col">
              <span class="visually-hidden">The record</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rejections.map((record) => {
            const place = `${record.partition}:${record.offset}`
            return (
              <Fragment key={place}>
                <tr data-place={place}>
                  <td class="mono nowrap">{second(record.received_at)}</td>
                  <td class="words">
                    {[...new Set(record.reasons.map(({ code }) => code))].map((code) => (
                      <span key={code} class="badge rejected">
                        {code}
                      </span>
                    ))}{' '}
                    <span class="muted">
                      {record.reasons[0]?.pointer && <code>{record.reasons[0].pointer}</code>} {record.reasons[0]?.message}
                      {record.reasons_total > 1 && `; and ${plural(record.reasons_total - 1, 'fault')} more`}
                    </span>
                  </td>
                  <td>{record.name || record.category ? <FeatureName feature={record} link={false} /> : <span class="muted">–</span>}</td>
                  <td class="word">{record.app || <span class="muted">–</span>}</td>
                  <td class="mono nowrap">{place}</td>
                  <td class="number">
                    <button type="button" class="quiet" aria-expanded={open === place} aria-label={`Record ${place}`} onClick={() => setOpen(open === place ? null : place)}>
                      Record
                    </button>
                  </td>
                </tr>
                {open === place && (
                  <tr>
                    <td colSpan={6}>
                      <Boundary what="This record">
                        {() => <RawRecord raw={record.raw} base64={record.raw_base64} reasons={record.reasons} total={record.reasons_total} size={record.raw_bytes} />}
                      </Boundary>
                    </td>
                  </tr>
                )}
              </Fragment>
            )
          })}
        </tbody>
      </table>
    </div>
  )
}
