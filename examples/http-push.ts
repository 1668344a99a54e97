import { Hono } from 'hono'
import { event, fromHttp, record, type AdapterEnv, type Commit, type Secrets } from 'enigma-relay/adapter'
import { AgentStatus } from 'enigma-relay/protocol'
import { agentStatus, type Effect } from 'enigma-relay/store'

export type HttpPushOptions = {
  /** Of the pusher: `whsec_…`; two while one is replaced. */
  readonly secret: Secrets
  readonly commit: (batch: Commit<Effect>) => Promise<void>
}

/**
 * Statuses of agents from any pusher of CloudEvents that signs by Standard Webhooks, without SQS and without Lambda. Whoever does not know
 * the secret gets 401, and nothing of what he sends is read.
 *
 * @example
 * const store = createStore({ url: process.env.UPSTASH_REDIS_REST_URL, token: process.env.UPSTASH_REDIS_REST_TOKEN })
 * serve({ fetch: createHttpPush({ secret: process.env.PUSH_SECRET, commit: store.commit }), port: 3000 })
 */
export function createHttpPush({ secret, commit }: HttpPushOptions) {
  const app = new Hono<AdapterEnv<Effect>>()
  app.post('/agents/status/:ref?', async (c) => {
    record(c, agentStatus(await event(c, AgentStatus)))
    return c.body(null, 204)
  })
  return fromHttp(app, { verify: { webhook: secret }, commit })
}
