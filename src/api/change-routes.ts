import { Hono } from 'hono'
import { describeRoute, resolver } from 'hono-openapi'
import { streamSSE } from 'hono/streaming'
import * as v from 'valibot'
import { ChangesPage, type ChangesPage as Page } from '../answers/index.ts'
import { type Reads, StoreError } from '../store/index.ts'
import type { ApiEnv } from './auth.ts'
import { isMasked, maskAnswer } from './mask.ts'
import { describe, problemAs } from './openapi.ts'
import { problem } from './problems.ts'
import { query, word } from './query-parameters.ts'

/** How the API streams changes. */
export type EventsOptions = {
  /** How often (ms) each stream reads from the read model. Default 1,000. */
  readonly pollMs?: number
  /** How long (ms) a stream lasts. The client then continues where it was, and its token is checked again. Default 15 minutes. */
  readonly limitMs?: number
  /** Maximum number of concurrent streams. Default 100. */
  readonly maxStreams?: number
}

/** How often (ms) an idle stream sends a comment, so that proxies keep it open. */
const COMMENT_MS = 15_000

const filters = {
  type: v.optional(
    word('Only changes of this kind, such as `agents/status`, or of all kinds of a type, such as `agents`.'),
  ),
  reference: v.optional(word('Only changes of entries with this reference.')),
}
const CURSOR = /^\d{1,15}-\d{1,19}$/
export const cursorOf = (description: string) =>
  v.pipe(word(description), v.regex(CURSOR, 'must be the `cursor` of an earlier response'))

/** Serves `GET /changes`. */
export function changes(read: Reads): Hono<ApiEnv> {
  return new Hono<ApiEnv>().get(
    '/',
    describe({
      summary: 'List changes since a cursor',
      description:
        'Returns the changes after a cursor, in order. First call this without `after` to get a cursor. Then read the data that you show. Then call this every ' +
        'one or two seconds with the `cursor` of the last response. If `reset` is true, read everything again. The last 4,000 commits are kept for a day.',
      tag: 'changes',
      answer: ChangesPage,
    }),
    query({
      after: v.optional(
        cursorOf('The `cursor` of the last response. Without it, the response contains only a cursor.'),
      ),
      ...filters,
    }),
    async (c) => c.json(await read.changes(c.req.valid('query'))),
  )
}

/** Serves `GET /events`: the same changes as Server-Sent Events, if the API runs in a process that lives long enough. */
export function events(read: Reads, options: EventsOptions | undefined, now: () => number): Hono<ApiEnv> {
  const { pollMs = 1_000, limitMs = 15 * 60_000, maxStreams = 100 } = options ?? {}
  let streams = 0
  return new Hono<ApiEnv>().get(
    '/',
    describeRoute({
      summary: 'Stream changes',
      description:
        'Streams the changes of `GET /changes` as [Server-Sent Events](https://html.spec.whatwg.org/multipage/server-sent-events.html). Each event has the name ' +
        '`changes`, the response of `GET /changes` as its data, and the cursor as its id. Send the id as `Last-Event-ID` or `after` to continue. Streams end from ' +
        'time to time; reconnect then. `GET /config` returns the address of the stream, if there is one.',
      tags: ['changes'],
      responses: {
        200: {
          description: 'The stream of changes',
          content: { 'text/event-stream': { schema: resolver(v.string()) } },
        },
        400: problemAs('A parameter is invalid or unknown; `parameter` names it.'),
        401: problemAs('The bearer token is missing or invalid.'),
        404: problemAs('This API has no stream; poll `GET /changes`.'),
        503: problemAs(
          'Too many streams are open, or the read model does not answer; retry after `Retry-After` seconds.',
        ),
      },
    }),
    query({ after: v.optional(cursorOf('The cursor to continue from, if there is no `Last-Event-ID`.')), ...filters }),
    async (c) => {
      if (options === undefined) throw problem('not-found', 'This API has no stream; poll GET /changes instead.')
      if (streams >= maxStreams)
        throw problem('unavailable', 'Too many streams are open; poll GET /changes instead.', {
          headers: { 'retry-after': '15' },
        })
      // A HEAD request reads no stream.
      if (c.req.method === 'HEAD') return c.body(null, 200, { 'content-type': 'text/event-stream' })
      const { after, ...filter } = c.req.valid('query')
      const isToMask = isMasked(c)
      const endMs = now() + limitMs
      const last = c.req.header('last-event-id') || after
      if (last !== undefined && !CURSOR.test(last))
        throw problem('bad-request', 'Last-Event-ID must be the id of an earlier event.')
      // Counted before the first await, because many requests may arrive at once.
      streams++
      let page: Page
      try {
        // An error at the beginning becomes a response, instead of a stream that ends.
        page = await read.changes({ ...filter, after: last })
      } catch (error) {
        streams--
        throw error
      }
      return streamSSE(c, async (stream) => {
        const aborted = new Promise<void>((resolve) => stream.onAbort(resolve))
        // The limit also ends the stream of a client that reads nothing.
        const over = setTimeout(() => stream.abort(), limitMs)
        try {
          let [sentMs, cursor] = [0, '']
          while (!stream.aborted && now() < endMs) {
            if (page.items.length > 0 || page.reset || cursor === '') {
              const data = JSON.stringify(isToMask ? maskAnswer(page) : page)
              await stream.writeSSE({ event: 'changes', id: page.cursor, data })
              sentMs = now()
            } else if (now() - sentMs >= COMMENT_MS) {
              // An id without data: the client stores the id, and fires no event.
              await stream.write(`: \nid: ${page.cursor}\n\n`)
              sentMs = now()
            }
            cursor = page.cursor
            if (!page.more) await Promise.race([aborted, stream.sleep(pollMs)])
            page = await readOn(read, { ...filter, after: cursor }, page)
          }
        } finally {
          clearTimeout(over)
          streams--
        }
      })
    },
  )
}

/** Reads the next changes. Returns none while the read model does not answer. */
async function readOn(read: Reads, filter: Parameters<Reads['changes']>[0], { cursor }: Page): Promise<Page> {
  try {
    return await read.changes(filter)
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    return { items: [], cursor, more: false, reset: false }
  }
}
