import { useEffect, useState } from 'preact/hooks'
import { useMoment, type AsOf } from './moment'
import { store } from './store'

/** One call of the query API, as a value: it can be asked, shown as curl and compared. */
export interface Question<T> {
  method: 'GET' | 'POST'
  /** With its query. */
  path: string
  body?: unknown
  /** Members of the answer whose JSON is kept as a text, as its sender wrote it. */
  verbatim?: string[]
  /**
   * What the answer alone does not tell, such as its interval. It becomes part of the answer, so that an old answer is not
   * taken for that of a new question.
   */
  kept?: object
  /** The type of the answer; never set. */
  answer?: T
}

/** The problem details (RFC 9457) of a refusal; status 0 if there was no answer at all. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly field?: string,
  ) {
    super(detail)
  }
}

const KEY = 'eye.reader-key'

/** The reader key of this tab; never in the address, never kept when the tab is closed. */
export const readerKey = store<string | null>(sessionStorage.getItem(KEY))
export const keyWanted = store(false)
/** Counts the presses of "refresh": each asks every question of the page again. */
export const refreshes = store(0)
export const refresh = () => refreshes.set(refreshes.get() + 1)

export function setReaderKey(key: string | null): void {
  if (key) sessionStorage.setItem(KEY, key)
  else sessionStorage.removeItem(KEY)
  readerKey.set(key)
  keyWanted.set(false)
  refresh()
}

/** The raw response of a question, or a `Problem`. */
export async function send(question: Question<unknown>, accept: string, signal?: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = { accept }
  const key = readerKey.get()
  if (key) headers.authorization = `Bearer ${key}`
  if (question.body !== undefined) headers['content-type'] = 'application/json'
  const body = question.body === undefined ? undefined : JSON.stringify(question.body)
  let response: Response
  try {
    response = await fetch(question.path, { method: question.method, headers, body, signal })
  } catch (error) {
    if (signal?.aborted) throw error
    throw new Problem(0, 'unreachable', 'The query API does not answer. Is it running, and is this machine online?')
  }
  if (response.ok) return response
  if (response.status === 401) keyWanted.set(true)
  const problem = await response.json().catch(() => ({}))
  const what = problem.detail ?? problem.title ?? `The query API answered ${response.status}.`
  throw new Problem(response.status, problem.code ?? String(response.status), what, problem.field)
}

export async function ask<T>(question: Question<T>, signal?: AbortSignal): Promise<T> {
  const response = await send(question, 'application/json', signal)
  const text = await response.text().catch((error) => {
    throw signal?.aborted ? error : new Problem(0, 'broken_off', 'The answer of the query API broke off.')
  })
  // Loaded by the pages that show what senders wrote.
  const keeping = question.verbatim && (await import('./json/text')).parseKeeping
  try {
    return { ...((keeping ? keeping(text, question.verbatim!) : JSON.parse(text)) as T), ...question.kept }
  } catch {
    throw new Problem(response.status, 'not_json', 'The answer is not from the query API: it is no JSON. A proxy may want you to sign in: load the page again.')
  }
}

/** `value` stays while the next answer is on its way (`loading`), so that pages do not flicker: it is shown dimmed. */
export interface Answer<T> {
  value?: T
  /** If there is a `value` too, the same question was answered before and is not answered now. */
  problem?: Problem
  loading: boolean
}

/** Asks when the question changes and on every refresh; null asks nothing. */
export function useAnswer<T>(question: Question<T> | null): Answer<T> {
  const round = refreshes.use()
  const identity = question && JSON.stringify(question)
  const asked = `${round} ${identity}`
  const [answer, setAnswer] = useState<{ asked: string; identity: string | null; value?: T; problem?: Problem }>({ asked: '', identity: null })
  useEffect(() => {
    if (!question) return
    const abort = new AbortController()
    ask(question, abort.signal).then(
      (value) => abort.signal.aborted || setAnswer({ asked, identity, value }),
      (problem: Problem) => abort.signal.aborted || setAnswer((old) => ({ asked, identity, problem, value: old.identity === identity && passes(problem) ? old.value : undefined })),
    )
    return () => abort.abort()
  }, [asked])
  // As soon as the question is another one, the old answer is not shown as its answer.
  const shown: Answer<T> = answer.asked !== asked ? { value: answer.value, loading: question !== null } : { value: answer.value, problem: answer.problem, loading: false }
  useMoment((shown.value as { as_of?: AsOf } | undefined)?.as_of)
  return shown
}

/** Whether the same question may be answered a little later. Then the answer from before is still shown. */
const passes = ({ status }: Problem) => status === 0 || status === 429 || status >= 500

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

/** The same call for a terminal. It has no key: it reads the key from the environment. */
export function curl(question: Question<unknown>, accept?: string): string {
  const lines = [`curl -sS ${quoted(location.origin + question.path)}`]
  if (readerKey.get()) lines.push(`-H "Authorization: Bearer $EYE_READER_KEY"`)
  if (accept) lines.push(`-H ${quoted(`Accept: ${accept}`)}`)
  if (question.body !== undefined) lines.push(`-H 'Content-Type: application/json'`, `-d ${quoted(JSON.stringify(question.body))}`)
  return lines.join(' \\\n  ')
}
