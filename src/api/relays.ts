import type { Reads } from '../store/index.ts'
import { Hono } from 'hono'
import type * as v from 'valibot'
import { describe } from './describe.ts'
import { query } from './query.ts'
import { RelaysAnswer } from './schemas/relays.ts'

/** `GET /relays` */
export function relays(read: Reads): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'All relays',
      description:
        'Every relay that was ready within the last 30 days, and when it last was. There are few, so the list has no pages.',
      tag: 'relays',
      answer: RelaysAnswer,
    }),
    query({}),
    async (c) => c.json({ items: await read.relays() } satisfies v.InferOutput<typeof RelaysAnswer>),
  )
}
