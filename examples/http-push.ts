import { Hono } from 'hono'
import { event, fromHttp, record, type AdapterEnv, type Commit, type Secrets } from 'enigma-relay/adapter'
import { AgentStatus } from 'enigma-relay/protocol'
import { agentStatus, type Effect } from 'enigma-relay/store'

export type HttpPushOptions = {
  /** The secret of the sender: `whsec_…`. Two secrets during a rotation. */
  readonly secret: Secrets
  readonly commit: (batch: Commit<Effect>) => Promise<void>
}

/**
 * Receives agent statuses from any CloudEvents sender that signs with Standard Webhooks, without SQS and Lambda. A sender without the
 * secret gets 401, and its request is not processed.
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
