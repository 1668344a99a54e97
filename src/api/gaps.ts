import type { Reads } from '../store/index.ts'
import { Hono } from 'hono'
import * as v from 'valibot'
import { describe } from './describe.ts'
import { moment } from './moment.ts'
import { paging, query, word } from './query.ts'
import { GapsAnswer } from './schemas/gaps.ts'

const filters = {
  source: v.optional(word('Only gaps of this source, as named in ENIGMA_SOURCES.')),
  since: v.optional(moment('Only gaps that ended at or after this:')),
}

/** `GET /gaps` */
export function gaps(read: Reads): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'Gaps, newest first',
      description:
        'Each time span in which a relay could not hear the Pub/Sub of a source, with the cause. Notifications published in that span are lost, so older states ' +
        'are `unsure` until the relay hears them again. Lists lose nothing. Gaps are kept for 30 days, the last thousand of each source.',
      tag: 'gaps',
      answer: GapsAnswer,
    }),
    query({ ...filters, ...paging }),
    async (c) => {
      const { since: sinceMs, ...filter } = c.req.valid('query')
      return c.json((await read.gaps({ ...filter, sinceMs })) satisfies v.InferOutput<typeof GapsAnswer>)
    },
  )
}
