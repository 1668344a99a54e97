import { Hono } from 'hono'
import { describeRoute, resolver } from 'hono-openapi'
import { Config, Health } from '../answers/index.ts'
import type { Reads } from '../store/index.ts'
import type { ApiEnv } from './auth.ts'
import { describe, problemAs } from './describe.ts'
import { query } from './query.ts'

/** No answer takes longer (ms); an environment may be frozen in the middle of one. */
const LONGEST_MS = 30_000

/** So long (ms) is an answer of the read model given again: whoever asks without a token must not cost a command each. */
const KEEP_MS = 5_000

/**
 * `GET /health`: whether the read model answers. It needs no token and takes any parameter, since load balancers and monitors send
 * what they like. Requests within a few seconds share one question to the read model.
 */
export function health(read: Reads, now: () => number): Hono {
  let kept: { readonly ping: Promise<void>; readonly untilMs: number } | undefined
  const ask = (): Promise<void> => {
    if (kept === undefined || now() >= kept.untilMs) {
      const ping = read.ping()
      const keep = () => void (kept = { ping, untilMs: now() + KEEP_MS })
      kept = { ping, untilMs: now() + LONGEST_MS }
      ping.then(keep, keep)
    }
    return kept.ping
  }
  return new Hono().get(
    '/',
    describeRoute({
      summary: 'Check the health of the API',
      description: 'Checks the read model, at most every five seconds. Needs no token.',
      tags: ['service'],
      security: [],
      responses: {
        200: {
          description: 'The API and the read model work',
          content: { 'application/json': { schema: resolver(Health) } },
        },
        503: problemAs('The read model does not answer.'),
      },
    }),
    async (c) => {
      await ask()
      return c.json({ status: 'ok', store: 'ok' }, 200, {
        'cache-control': 'no-store',
      })
    },
  )
}

/** `GET /config`: what this API offers, and to whom it speaks. */
export function config(offers: Pick<Config, 'events' | 'replays' | 'dead_letters'>): Hono<ApiEnv> {
  return new Hono<ApiEnv>().get(
    '/',
    describe({
      summary: 'Get the configuration of the API',
      description: 'Returns where changes are streamed, which writes are available, and what the token may do.',
      tag: 'service',
      answer: Config,
    }),
    query(),
    (c) => {
      const { name, role } = c.get('caller')
      return c.json({ name, role, ...offers } satisfies Config)
    },
  )
}
