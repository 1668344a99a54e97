import type { Reads } from 'enigma-relay/store'
import { Hono } from 'hono'
import { describeRoute, resolver } from 'hono-openapi'
import * as v from 'valibot'
import { problemAs } from './describe.ts'

const HealthAnswer = v.pipe(
  v.object({
    status: v.literal('ok'),
    store: v.pipe(v.literal('ok'), v.description('The read model answered just now.')),
  }),
  v.metadata({ ref: 'Health' }),
)

/**
 * `GET /health`: whether the read model answers. It needs no token and takes any parameter, since load balancers and monitors send
 * what they like.
 */
export function health(read: Reads): Hono {
  return new Hono().get(
    '/',
    describeRoute({
      summary: 'Whether the API works',
      description: 'Asks the read model. Needs no token.',
      tags: ['service'],
      security: [],
      responses: {
        200: { description: 'It works', content: { 'application/json': { schema: resolver(HealthAnswer) } } },
        503: problemAs('The read model does not answer.'),
      },
    }),
    async (c) => {
      await read.ping()
      return c.json({ status: 'ok', store: 'ok' } satisfies v.InferOutput<typeof HealthAnswer>, 200, {
        'cache-control': 'no-store',
      })
    },
  )
}
