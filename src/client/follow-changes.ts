import type { Change, ChangesPage, Config } from '../answers/index.ts'
import { ApiProblem } from './api-problem.ts'
import { limitTime, pause, type Requests } from './api-requests.ts'

/** Changes of the read model. */
export type Changes = {
  /** In the order in which they were made. */
  readonly changes: readonly Change[]
  /** The place from which to continue later: the `after` of another iteration. */
  readonly cursor: string
  /** True: read all displayed data again, because the changes are unknown. It is true at the beginning, if there is no `after`. */
  readonly reset: boolean
}

export type ChangesOptions = {
  /** Only changes of this kind, such as `agents/status`, or of all kinds of a type, such as `agents`. */
  readonly type?: string | undefined
  /** Only changes of entries with this reference. */
  readonly reference?: string | undefined
  /** The `cursor` of an earlier iteration. Default: changes from now on. */
  readonly after?: string | undefined
  /** Ends the iteration at once, without an error. */
  readonly signal?: AbortSignal | undefined
  /** How long (ms) to wait between two polls, give or take a third. Default 1,500. */
  readonly pollMs?: number | undefined
  /** How long (ms) a stream may be silent before the connection counts as lost. Default 35,000: the API sends something every 15 s. */
  readonly silenceMs?: number | undefined
  /** Called when the connection is lost, with the cause, and when it is restored. The iteration continues by itself. */
  readonly onConnection?: ((isConnected: boolean, problem?: ApiProblem) => void) | undefined
}

/** Maximum wait (ms) for the response to a poll, and for the first event of a stream, which the API sends at once. */
const MAX_ANSWER_MS = 10_000

/** How long (ms) to poll before the next stream is tried, if a proxy lets none through. */
const WITHOUT_STREAM_MS = 60_000

/** The longest `Retry-After` (ms) that is obeyed. */
const MAX_RETRY_AFTER_MS = 60_000

/** Statuses after which a stream, or any request, is not retried. */
const REFUSED = new Set([400, 401, 403])
const PERMANENT = new Set([...REFUSED, 404, 405])

/** The address of a stream: a path of the API, or another address (`at`). */
type Place = { readonly path: string; readonly at?: string }

/**
 * Follows changes by Server-Sent Events, from this API or another address, if the API offers them; otherwise by `GET /changes`. After a
 * lost connection, and whenever the API ends a stream, it continues after the last change, so no change is repeated or missed. While the
 * API is unavailable, it retries with back-off.
 *
 * @throws ApiProblem if retrying is useless: the token or `after` is not valid, or `url` is not the API
 */
export async function* followChanges(
  { open, askOnce, backoffMs, address }: Requests,
  options: ChangesOptions,
): AsyncGenerator<Changes, void, undefined> {
  const { type, reference, signal, pollMs = 1_500, silenceMs = 35_000, onConnection } = options
  let cursor = options.after
  let [isConnected, wasConnected]: [boolean | undefined, boolean] = [undefined, false]
  /** Null: there is no stream. Undefined: not known yet. */
  let place: Place | null | undefined
  /** No stream is tried before this time (Unix ms). */
  let streamAtMs = 0
  let [failures, failedStreams] = [0, 0]

  /** Whether retrying is useless. A response from elsewhere may be a proxy's error page: if the API answered before, the client retries. */
  const isPermanent = ({ code, status }: ApiProblem) =>
    code === 'unexpected' ? !wasConnected && status < 500 && status !== 429 : PERMANENT.has(status)
  const tell = (is: boolean, problem?: ApiProblem) => {
    if (isConnected !== is) onConnection?.((isConnected = is), problem)
  }
  /** Records a page. Returns undefined if the caller need not know about it. */
  const take = (page: ChangesPage): Changes | undefined => {
    const reset = page.reset || cursor === undefined
    cursor = page.cursor
    failures = 0
    wasConnected = true
    tell(true)
    return reset || page.items.length > 0 ? { changes: page.items, cursor, reset } : undefined
  }

  /** Polls once. */
  async function* poll(): AsyncGenerator<Changes, void, undefined> {
    const query = { type, reference, after: cursor }
    const page = await askOnce<ChangesPage>({ path: '/changes', query }, { signal, timeoutMs: MAX_ANSWER_MS })
    const news = take(page)
    if (news !== undefined) yield news
    if (!page.more) await pause(pollMs * (2 / 3 + (Math.random() * 2) / 3), signal)
  }

  /** Reads one stream to its end. */
  async function* stream({ path, at }: Place): AsyncGenerator<Changes, void, undefined> {
    const startMs = Date.now()
    const limit = limitTime(signal)
    let isHeard = false
    try {
      limit.restart(MAX_ANSWER_MS)
      const headers = { accept: 'text/event-stream', ...(cursor === undefined ? {} : { 'last-event-id': cursor }) }
      const { body } = await open({ path, at, query: { type, reference }, headers }, limit)
      if (body === null) throw new ApiProblem(200, 'unexpected', 'This runtime cannot read a response as a stream.')
      const reader = body.getReader()
      // For a `fetch` whose response does not end when its signal aborts.
      limit.signal.addEventListener('abort', () => void reader.cancel().catch(() => undefined))
      const [decoder, parse] = [new TextDecoder(), createEventParser()]
      for (;;) {
        const { value, done } = await limit.guard(async () => {
          const read = await reader.read()
          limit.signal.throwIfAborted()
          return read
        })
        if (done) break
        // The time that the caller takes to process changes does not count as silence.
        limit.stop()
        for (const { event, data, id } of parse(decoder.decode(value, { stream: true }))) {
          if (event === 'changes' && data !== null) {
            const news = take(parsePage(data))
            isHeard = true
            failedStreams = 0
            if (news !== undefined) yield news
            if (isAborted(signal)) return
          } else if (id !== '') cursor = id
        }
        limit.restart(isHeard ? silenceMs : MAX_ANSWER_MS)
      }
      if (!isHeard) throw new ApiProblem(200, 'unexpected', 'The stream ended before its first event.')
    } catch (error) {
      if (!(error instanceof ApiProblem)) throw error
      const isOwn = at === undefined
      // Another address may learn of a changed token later than the API, so the API decides.
      if (isOwn && error.code !== 'unexpected' && REFUSED.has(error.status)) throw error
      if (!isHeard) {
        // If a stream fails, polling continues.
        if (error.code === 'not-found') place = null
        // If Lambda rejects a stream because too many are open, a page cannot read the response, and sees a network failure.
        const waitMs = error.code === 'network' && isOwn ? backoffMs(++failedStreams) : WITHOUT_STREAM_MS
        streamAtMs = Date.now() + (error.retryAfterMs ?? waitMs)
        return
      }
      if (error.code === 'timeout') tell(false, error)
    } finally {
      limit.end()
    }
    // Avoids a busy loop if an API ends each stream at its beginning.
    await pause(startMs + pollMs - Date.now(), signal)
  }

  while (!isAborted(signal)) {
    try {
      if (place === undefined) {
        const { events } = await askOnce<Config>({ path: '/config' }, { signal, timeoutMs: MAX_ANSWER_MS })
        place = toPlace(events, address)
      }
      yield* place !== null && Date.now() >= streamAtMs ? stream(place) : poll()
    } catch (error) {
      if (isAborted(signal)) return
      if (!(error instanceof ApiProblem) || isPermanent(error)) throw error
      tell(false, error)
      const waitMs = Math.min(error.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS)
      await pause(Math.max(waitMs, backoffMs(++failures)), signal)
    }
  }
}

const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true

/** Returns the address of the stream. It receives the token, so it must use https or the API's own origin; otherwise returns null. */
function toPlace(events: Config['events'], address: string): Place | null {
  if (typeof events !== 'string') return null
  // A path is relative to the API, wherever that is mounted. Browsers treat `//` and `/\` as another host.
  if (/^\/(?![/\\])/.test(events)) return { path: events }
  try {
    const { protocol, origin, pathname } = new URL(events)
    // If the address of the API is a path, its origin is that of the page.
    const { location } = globalThis as { readonly location?: { readonly href: string } }
    const isSafe = protocol === 'https:' || origin === new URL(`${address}/`, location?.href).origin
    return isSafe ? { path: pathname, at: origin + pathname } : null
  } catch {
    return null
  }
}

function parsePage(data: string): ChangesPage {
  try {
    return JSON.parse(data) as ChangesPage
  } catch (cause) {
    throw new ApiProblem(200, 'unexpected', 'An event of the stream is not JSON.', { cause })
  }
}

/** A block of an event stream: an event, or only an id. */
export type StreamBlock = {
  /** `message` if the block names no event. */
  readonly event: string
  /** Null in a block without data, which is not an event. */
  readonly data: string | null
  /** The latest id so far; '' if there was none. */
  readonly id: string
}

/**
 * Creates a parser. It takes text of an event stream, cut anywhere, and returns the completed blocks. A block and its id count when the
 * blank line after it has arrived, so a client that continues after an id has received everything before it. `retry` is ignored. Source:
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
export function createEventParser(): (text: string) => StreamBlock[] {
  /** A line whose end has not arrived. */
  let line = ''
  /** The text so far ends in CR: an LF now belongs to it. */
  let isAfterCr = false
  let [event, id, hasId] = ['', '', false]
  let data: string[] = []

  const readLine = (text: string): void => {
    const colon = text.indexOf(':')
    const [name, value] =
      colon === -1 ? [text, ''] : [text.slice(0, colon), text.slice(text[colon + 1] === ' ' ? colon + 2 : colon + 1)]
    if (name === 'event') event = value
    else if (name === 'data') data.push(value)
    else if (name === 'id' && !value.includes('\0')) [id, hasId] = [value, true]
    // Other lines are comments, or belong to a later version.
  }
  const endBlock = (): StreamBlock | undefined => {
    const block = { event: event || 'message', data: data.length === 0 ? null : data.join('\n'), id }
    const isOne = hasId || data.length > 0
    ;[event, hasId, data] = ['', false, []]
    return isOne ? block : undefined
  }

  return (text) => {
    if (text === '') return []
    const own = isAfterCr && text.startsWith('\n') ? text.slice(1) : text
    isAfterCr = text.endsWith('\r')
    const lines = own.split(/\r\n|\n|\r/)
    lines[0] = line + lines[0]
    line = lines.pop() ?? ''
    const blocks: StreamBlock[] = []
    for (const one of lines) {
      if (one !== '') {
        readLine(one)
        continue
      }
      const block = endBlock()
      if (block !== undefined) blocks.push(block)
    }
    return blocks
  }
}
