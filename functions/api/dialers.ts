import type { Reads } from 'enigma-relay/store'
import { Hono } from 'hono'
import type * as v from 'valibot'
import { describe } from './describe.ts'
import { query } from './query.ts'
import { DialersAnswer } from './schemas/campaigns.ts'

/** `GET /dialers` */
export function dialers(read: Reads): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'All diallers',
      description:
        'Every dialler that told its state: started, stopping, stopped. There are few, so there are no pages.',
      tag: 'dialers',
      answer: DialersAnswer,
    }),
    query({}),
    async (c) => c.json({ items: await read.dialers() } satisfies v.InferOutput<typeof DialersAnswer>),
  )
}
