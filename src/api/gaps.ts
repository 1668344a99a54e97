import * as v from 'valibot'
import type { Reads } from '../store/index.ts'
import { Hono } from 'hono'
import { describe } from './describe.ts'
import { moment, paging, query, word } from './query.ts'
import { GapsPage, Relays } from '../answers/index.ts'

const filters = {
  source: v.optional(word('Only gaps of this source, as named in ENIGMA_SOURCES.')),
  since: v.optional(moment('Only gaps that ended at or after this:')),
}

/** `GET /gaps` */
export function gaps(read: Reads): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'List gaps',
      description:
        'Returns, newest first, each time span in which a relay could not hear the Pub/Sub of a source, with the cause. Notifications published in that span are lost, so older ' +
        'states are `unsure` until the relay hears them again. Lists lose nothing. The last 1,000 gaps of each source are kept for 30 days.',
      tag: 'gaps',
      answer: GapsPage,
    }),
    query({ ...filters, ...paging }),
    async (c) => {
      const { since: sinceMs, ...filter } = c.req.valid('query')
      return c.json(await read.gaps({ ...filter, sinceMs }))
    },
  )
}

/** `GET /relays` */
export function relays(read: Reads): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'List relays',
      description:
        'Returns every relay that was ready within the last 30 days, and when it was last ready. The list is short, so it has no pages.',
      tag: 'relays',
      answer: Relays,
    }),
    query(),
    async (c) => c.json({ items: await read.relays() }),
  )
}
