import type { Reads } from 'enigma-relay/store'
import { Hono } from 'hono'
import * as v from 'valibot'
import type { DeadLetters, DeadLettersPeek } from './dead-letters/dead-letters.ts'
import { describe } from './describe.ts'
import { moment } from './moment.ts'
import { mergePage, toParkedItem } from './parked-page.ts'
import { DEFAULT_LIMIT, paging, query, word } from './query.ts'
import { ParkedAnswer, type ParkedItem } from './schemas/parked.ts'

const filters = {
  from: v.optional(
    v.pipe(
      v.picklist(['relay', 'functions'], 'must be relay or functions'),
      v.description('Only what this one put aside.'),
    ),
  ),
  source: v.optional(word('Only of this source, as named in ENIGMA_SOURCES.')),
  route: v.optional(word('Only of this route, such as agents-call.')),
  reason: v.optional(word('Only with these words in the reason, in upper or lower case.')),
  since: v.optional(moment('Put aside at or after this:')),
}

const NOT_CONFIGURED: DeadLettersPeek = {
  items: [],
  part: {
    status: 'not_configured',
    detail: 'ENIGMA_QUEUE_PREFIX is not set, so the dead-letter queues are not known',
    total: null,
  },
}
const NOT_ASKED: DeadLettersPeek = { items: [], part: { status: 'not_asked', detail: null, total: null } }

/** `GET /parked`. Without `deadLetters`, what the functions put aside is said to be not configured. */
export function parked(read: Reads, deadLetters?: DeadLetters): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'What was put aside, newest first',
      description:
        'What the relay could not send at all, and what the functions gave up, with the reason. Nothing of it is lost, and nothing is taken ' +
        "from there by looking. The functions' part is looked up in their dead-letter queues, at most every few seconds; `functions` says " +
        'whether all of them could be read. A page may hold fewer than `limit`: only a `next` of null is the end.',
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
