import type { Reads } from '../store/index.ts'
import { Hono } from 'hono'
import * as v from 'valibot'
import { describe } from './describe.ts'
import { moment } from './moment.ts'
import { mergePage, toParkedItem } from './parked-page.ts'
import { DEFAULT_LIMIT, paging, query, word } from './query.ts'
import { ParkedAnswer, type FunctionsPart, type ParkedItem } from './schemas/parked.ts'

/** What lies in the dead-letter queues of all functions. */
export type DeadLettersPeek = { readonly part: FunctionsPart; readonly items: readonly ParkedItem[] }

/** Never rejects: what could not be read is said in `part`. */
export type DeadLetters = { peek: () => Promise<DeadLettersPeek> }

const filters = {
  from: v.optional(
    v.pipe(
      v.picklist(['relay', 'functions'], 'must be relay or functions'),
      v.description('Only entries parked by the relay, or by the functions.'),
    ),
  ),
  source: v.optional(word('Only entries of this source, as named in ENIGMA_SOURCES.')),
  route: v.optional(word('Only entries of this route, such as agents-call.')),
  reason: v.optional(word('Only entries whose reason contains this text, in any case.')),
  since: v.optional(moment('Only entries parked at or after this:')),
}

const NOT_CONFIGURED: DeadLettersPeek = {
  items: [],
  part: {
    status: 'not_configured',
    detail: 'ENIGMA_QUEUE_PREFIX is not set, so the API does not know the dead-letter queues',
    total: null,
  },
}
const NOT_ASKED: DeadLettersPeek = { items: [], part: { status: 'not_asked', detail: null, total: null } }

/** `GET /parked`. Without `deadLetters`, what the functions put aside is said to be not configured. */
export function parked(read: Reads, deadLetters?: DeadLetters): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'Parked notifications, newest first',
      description:
        'Notifications that the relay could not send and those that the functions gave up, with the reason. None of them is lost, and reading ' +
        'the list removes none. Entries of the functions are read from their dead-letter queues, at most every few seconds; `functions` says ' +
        'whether all queues could be read. A page may hold fewer than `limit` items: the last page is the one whose `next` is null.',
      tag: 'parked',
      answer: ParkedAnswer,
    }),
    query({ ...filters, ...paging }),
    async (c) => {
      const { from, source, route, reason, since: sinceMs, cursor, limit = DEFAULT_LIMIT } = c.req.valid('query')
      const filter = { source, route, reason, sinceMs, cursor, limit }
      const [relay, { items: letters, part }] = await Promise.all([
        from === 'functions' ? { items: [], next: null, total: null } : read.parked(filter),
        from === 'relay' ? NOT_ASKED : (deadLetters?.peek() ?? NOT_CONFIGURED),
      ])
      const page = mergePage(
        { items: relay.items.map(toParkedItem), next: relay.next },
        letters.filter((letter) => fits(letter, filter)),
        { cursor, limit },
      )
      return c.json({ ...page, relay: { total: relay.total }, functions: part } satisfies v.InferOutput<
        typeof ParkedAnswer
      >)
    },
  )
}

type Filter = { readonly [name in 'source' | 'route' | 'reason']: string | undefined } & {
  readonly sinceMs: number | undefined
}

/** As the read model's filter does. */
function fits(item: ParkedItem, { source, route, reason, sinceMs }: Filter): boolean {
  return (
    (source === undefined || item.source === source) &&
    (route === undefined || item.route === route) &&
    (reason === undefined || item.reason.toLowerCase().includes(reason.toLowerCase())) &&
    (sinceMs === undefined || Date.parse(item.parked_at) >= sinceMs)
  )
}
