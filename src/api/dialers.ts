import type { Reads } from '../store/index.ts'
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
        'Every known dialler, with its state: started, stopping or stopped. There are few, so the list has no pages.',
      tag: 'dialers',
      answer: DialersAnswer,
    }),
    query({}),
    async (c) => c.json({ items: await read.dialers() } satisfies v.InferOutput<typeof DialersAnswer>),
  )
}
