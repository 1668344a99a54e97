import { Hono } from 'hono'
import { describeRoute, resolver } from 'hono-openapi'
import * as v from 'valibot'
import { Config, GapsPage, Health, type QueueRecord, Queues, Relays } from '../answers/index.ts'
import type { Reads } from '../store/index.ts'
import type { ApiEnv } from './auth.ts'
import { describe, problemAs } from './openapi.ts'
import { problem } from './problems.ts'
import { moment, paging, query, word } from './query-parameters.ts'
import { shareFor } from './state-routes.ts'

/** How long (ms) requests share an unfinished check. It may never finish, because Lambda may freeze the environment. */
const MAX_RESPONSE_MS = 30_000

/** How long (ms) a result is reused, so that not every request without a token costs a command. */
const KEEP_HEALTH_MS = 5_000

/**
 * Serves `GET /health`: whether the read model answers. It needs no token and accepts any parameter, because load balancers and monitors
 * add their own. Requests within a few seconds share one check.
 */
export function health(read: Reads, now: () => number): Hono {
  let kept: { readonly ping: Promise<void>; readonly untilMs: number } | undefined
  const ask = (): Promise<void> => {
    if (kept === undefined || now() >= kept.untilMs) {
      const ping = read.ping()
      const keep = () => void (kept = { ping, untilMs: now() + KEEP_HEALTH_MS })
      kept = { ping, untilMs: now() + MAX_RESPONSE_MS }
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

/** Serves `GET /config`: the features of this API, and the name and role of the token. */
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

const filters = {
  source: v.optional(word('Only gaps of this source, as named in ENIGMA_SOURCES.')),
  since: v.optional(moment('Only gaps that ended at or after this:')),
}

/** Serves `GET /gaps`. */
export function gaps(read: Reads): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'List gaps',
      description:
        'Returns, newest first, each time span in which a relay could not hear the Pub/Sub of a source or lost notifications that it had heard, with the cause. Notifications that no relay heard are lost, so older ' +
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

/** Serves `GET /relays`. */
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

/** Returns the number of messages in each queue. */
export type ReadQueues = () => Promise<readonly QueueRecord[]>

/** How long (ms) an answer is reused. Each new answer costs a request to SQS for every queue. */
const KEEP_QUEUES_MS = 10_000

const NO_QUEUES = 'This API does not know its queues: set ENIGMA_QUEUE_PREFIX.'

/** Serves `GET /queues`. */
export function queues(read: ReadQueues | undefined, now: () => number): Hono {
  const answer = shareFor(KEEP_QUEUES_MS, now, async (): Promise<Queues> => {
    const items = (await read?.()) ?? []
    return { items: [...items], read_at: new Date(now()).toISOString() }
  })
  return new Hono().get(
    '/',
    describe({
      summary: 'List queues',
      description:
        'Returns the approximate number of messages in each queue and dead-letter queue of the stack. The API asks SQS at most every ten seconds. ' +
        'The age of the oldest message is not included, because only CloudWatch has it (`ApproximateAgeOfOldestMessage`).',
      tag: 'queues',
      answer: Queues,
      notFound: NO_QUEUES,
    }),
    query(),
    async (c) => {
      if (read === undefined) throw problem('not-found', NO_QUEUES)
      try {
        return c.json(await answer())
      } catch {
        throw problem(
          'unavailable',
          'SQS did not return the number of messages. Allow sqs:GetQueueUrl and sqs:GetQueueAttributes on all queues, and try again.',
        )
      }
    },
  )
}
