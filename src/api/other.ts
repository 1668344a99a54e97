import type { Reads } from '../store/index.ts'
import { Hono } from 'hono'
import type * as v from 'valibot'
import { describe } from './describe.ts'
import { paging, query } from './query.ts'
import { OtherAnswer } from './schemas/other.ts'

/** `GET /other` */
export function other(read: Reads): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'Notifications without a route, newest first',
      description:
        'The last thousand notifications of unknown types and packets that cannot be read, with their bytes and the reason.',
      tag: 'other',
      answer: OtherAnswer,
    }),
    query(paging),
    async (c) => c.json((await read.other(c.req.valid('query'))) satisfies v.InferOutput<typeof OtherAnswer>),
  )
}
