import { createParser } from 'eventsource-parser'
import { send, type Question } from '../../ask'
import { parseKeeping } from '../../json/text'

/**
 * Reads server-sent events until `signal`. Connects again after a second when the stream ends or breaks.
 * The browser's EventSource can't send a reader key.
 */
export async function follow(question: Question<unknown>, signal: AbortSignal, on: { event: (name: string, data: unknown) => void; connected: (yes: boolean) => void }): Promise<void> {
  const parser = createParser({ onEvent: ({ event, data }) => on.event(event ?? 'message', parseKeeping(data, question.verbatim ?? [])) })
  while (!signal.aborted) {
    try {
      const { body } = await send(question, 'text/event-stream', signal)
      on.connected(true)
      parser.reset()
      const decoder = new TextDecoder()
      const reader = body!.getReader()
      for (let read = await reader.read(); !read.done; read = await reader.read()) parser.feed(decoder.decode(read.value, { stream: true }))
    } catch {
      // The next try shows whether the fault is over.
    }
    if (signal.aborted) return
    on.connected(false)
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
}
