import type { Change, ChangesPage, Config } from '../answers/index.ts'
import { ApiProblem } from './api-problem.ts'
import { limitTime, pause, type Requests } from './api-requests.ts'

/** What has changed. */
export type Changes = {
  /** In the order in which they were made. */
  readonly changes: readonly Change[]
  /** To go on from here later: `after` of another iteration. */
  readonly cursor: string
  /** Read everything that you show, now: there is no telling what has changed. So it is at the beginning, if there is no `after`. */
  readonly reset: boolean
}

export type ChangesOptions = {
  /** Only changes of this kind: `agents/status`, or all kinds of `agents`. */
  readonly type?: string | undefined
  /** Only changes of what has this reference. */
  readonly reference?: string | undefined
  /** The `cursor` of an earlier iteration. Default: changes from now on. */
  readonly after?: string | undefined
  /** Ends the iteration at once, without an error. */
  readonly signal?: AbortSignal | undefined
  /** How long (ms) to wait between two requests where changes are polled, give or take a third. Default 1,500. */
  readonly pollMs?: number | undefined
  /** How long (ms) a stream may be silent before the connection counts as lost. Default 35,000: the API sends something every 15 s. */
  readonly silenceMs?: number | undefined
  /** Is told when the connection is lost, with the cause, and when it is there again. The iteration goes on by itself. */
  readonly onConnection?: ((isConnected: boolean, problem?: ApiProblem) => void) | undefined
}

/** How long (ms) changes may take to begin: both the answer to a poll, and the first event, which the API sends at once. */
const ANSWER_MS = 10_000

/** How long (ms) to poll before another stream is tried, where something between does not let one through. */
const WITHOUT_STREAM_MS = 60_000

/** The longest (ms) that the API's wish to be left alone is followed. */
const LONGEST_WAIT_MS = 60_000

/** What no second try mends: of a stream, and of anything. */
const REFUSED = new Set([400, 401, 403])
const PERMANENT = new Set([...REFUSED, 404, 405])

/** Where a stream is: a path of the API, or another address (`at`). */
type Place = { readonly path: string; readonly at?: string }

/**
 * Follows changes: by Server-Sent Events where the API offers them, by itself or at another address, else by `GET /changes`. After a cut, and whenever the API ends a stream, it goes on
 * behind the last change that it has given, so that none comes twice and none is left out. While the API is away it tries again, ever more rarely.
 *
 * @throws ApiProblem when it makes no sense to go on: the token or `after` is not valid, or `url` is not the API
 */
export async function* followChanges(
  { open, askOnce, backoffMs, address }: Requests,
  options: ChangesOptions,
): AsyncGenerator<Changes, void, undefined> {
  const { type, reference, signal, pollMs = 1_500, silenceMs = 35_000, onConnection } = options
  let cursor = options.after
  let isConnected: boolean | undefined
  let wasConnected = false
  /** Null: there is no stream. Undefined: nobody has asked yet. */
  let place: Place | null | undefined
  /** No stream is tried before this (unix ms). */
  let streamAtMs = 0
  let [failures, failedStreams] = [0, 0]

  /** Whether to give up. An answer that is not from the API may be a proxy's error page: if the API answered before, the client tries again. */
  const isPermanent = ({ code, status }: ApiProblem) =>
    code === 'unexpected' ? !wasConnected && status < 500 && status !== 429 : PERMANENT.has(status)
  const tell = (is: boolean, problem?: ApiProblem) => {
    if (isConnected !== is) onConnection?.((isConnected = is), problem)
  }
  /** Notes what arrived; undefined where it is nothing that the caller has to know. */
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
    const page = await askOnce<ChangesPage>({ path: '/changes', query }, { signal, timeoutMs: ANSWER_MS })
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
      limit.restart(ANSWER_MS)
      const headers = { accept: 'text/event-stream', ...(cursor === undefined ? {} : { 'last-event-id': cursor }) }
      const { body } = await open({ path, at, query: { type, reference }, headers }, limit)
      if (body === null) throw new ApiProblem(200, 'unexpected', 'This runtime cannot read a response as a stream.')
      const reader = body.getReader()
      // For a `fetch` that does not end the answer with its signal.
      limit.signal.addEventListener('abort', () => void reader.cancel().catch(() => undefined))
      const [decoder, parse] = [new TextDecoder(), createEventParser()]
      for (;;) {
        const { value, done } = await limit.guard(async () => {
          const read = await reader.read()
          limit.signal.throwIfAborted()
          return read
        })
        if (done) break
        // The time that the caller takes for what it is given is no silence.
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
        limit.restart(isHeard ? silenceMs : ANSWER_MS)
      }
      if (!isHeard) throw new ApiProblem(200, 'unexpected', 'The stream ended before its first event.')
    } catch (error) {
      if (!(error instanceof ApiProblem)) throw error
      const isOwn = at === undefined
      // Another address may learn of a changed token later than the API, which has the last word.
      if (isOwn && error.code !== 'unexpected' && REFUSED.has(error.status)) throw error
      if (!isHeard) {
        // Polling goes on with what a stream cannot.
        if (error.code === 'not-found') place = null
        // A page cannot read it when Lambda refuses one stream too many: to the page, the network has failed.
        const waitMs = error.code === 'network' && isOwn ? backoffMs(++failedStreams) : WITHOUT_STREAM_MS
        streamAtMs = Date.now() + (error.retryAfterMs ?? waitMs)
        return
      }
      if (error.code === 'timeout') tell(false, error)
    } finally {
      limit.end()
    }
    // Not at once where an API ends each stream at its beginning.
    await pause(startMs + pollMs - Date.now(), signal)
  }

  while (!isAborted(signal)) {
    try {
      if (place === undefined) {
        const { events } = await askOnce<Config>({ path: '/config' }, { signal, timeoutMs: ANSWER_MS })
        place = toPlace(events, address)
      }
      yield* place !== null && Date.now() >= streamAtMs ? stream(place) : poll()
    } catch (error) {
      if (isAborted(signal)) return
      if (!(error instanceof ApiProblem) || isPermanent(error)) throw error
      tell(false, error)
      const waitMs = Math.min(error.retryAfterMs ?? 0, LONGEST_WAIT_MS)
      await pause(Math.max(waitMs, backoffMs(++failures)), signal)
    }
  }
}

const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true

/**
 * Where the API says that the stream is. The token goes there, since the API itself has named it, but by https only, or to the API's own origin;
 * null for anything else.
 */
function toPlace(events: Config['events'], address: string): Place | null {
  if (typeof events !== 'string') return null
  // A path is one of the API, wherever that is mounted. A browser takes `//` and `/\` for another host.
  if (/^\/(?![/\\])/.test(events)) return { path: events }
  try {
    const { protocol, origin, pathname } = new URL(events)
    const isSafe = protocol === 'https:' || origin === originOf(address)
    return isSafe ? { path: pathname, at: origin + pathname } : null
  } catch {
    return null
  }
}

/** Of a path, the origin of the page. @throws where there is no page */
const originOf = (address: string): string => {
  const { location } = globalThis as { readonly location?: { readonly href: string } }
  return new URL(`${address}/`, location?.href).origin
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
  /** `message` where the block names no event. */
  readonly event: string
  /** Null in a block without data: that is no event. */
  readonly data: string | null
  /** The last id so far; '' where there was none. */
  readonly id: string
}

/**
 * Returns a function that takes the text of an event stream, cut anywhere, and returns the blocks that are complete by then. A block counts when
 * the blank line behind it has arrived, and so does its id: a client that goes on behind an id has had everything before.
 * `retry` is not read. Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
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
    // Any other is a comment, or of a later version.
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
