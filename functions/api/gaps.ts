import type { Reads } from 'enigma-relay/store'
import { Hono } from 'hono'
import * as v from 'valibot'
import { describe } from './describe.ts'
import { moment } from './moment.ts'
import { paging, query, word } from './query.ts'
import { GapsAnswer } from './schemas/gaps.ts'

const filters = {
  source: v.optional(word('Only of this source, as named in ENIGMA_SOURCES.')),
  since: v.optional(moment('Over at or after this:')),
}

/** `GET /gaps` */
export function gaps(read: Reads): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'When PubSub was not heard, newest first',
      description:
        'Each span of time in which a relay did not hear the PubSub of a source, and why. What was published in it is not known, so states ' +
        'from before it are `unsure` until they are heard again. Lists lose nothing in it. Kept for 30 days, the last thousand of a source.',
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
