import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { AgentCall } from 'enigma-relay/protocol'
import { agentCall, type Effect } from 'enigma-relay/store'

/** How the screen pop reaches the CRM. */
export type CrmOptions = {
  /** Where the CRM takes a pop, by POST. */
  readonly url: string
  /** Sent as a bearer token; asked for before each pop, so that one that was changed counts at once. */
  readonly token: () => string | Promise<string>
  /** Longest wait (ms) for the CRM. An agent looks at the screen now: rather another try than a long wait. Default 2,000. */
  readonly timeoutMs?: number
}

/**
 * agents/call, with the screen pop pushed into a CRM. Put it in the place of `functions/agents/call.ts`.
 *
 * The read model's effect is recorded first: it stays whatever the CRM does, so the agent's current call is shown while the CRM
 * is down. The pop carries the notification's id as its idempotency key: it is the same on each copy and each attempt.
 */
export function createCrmPop({ url, token, timeoutMs = 2_000 }: CrmOptions) {
  const app = new Hono<AdapterEnv<Effect>>()

  app.post('/agents/call/:ref?', async (c) => {
    const call = await event(c, AgentCall)
    record(c, agentCall(call))
    // A call that is older than 30 s is over, or has long been answered: nobody wants its pop now.
    if (call.stale) return c.body(null, 204)

    const { call_ref, contact_ref, number, campaign_ref } = call.payload
    const answer = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${await token()}`,
        'idempotency-key': call.id,
      },
      body: JSON.stringify({ agent: call.reference, call_ref, contact_ref, number, campaign_ref, at: call.time }),
      // The time limit of this step, and the one of the notification.
      signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), c.req.raw.signal]),
    })
    // 409: this very pop is there already.
    if (answer.ok || answer.status === 409) return c.body(null, 204)
    // Any other 4xx will not get better by trying again: parked with this text. 5xx and these three are tried again.
    if (answer.status >= 400 && answer.status < 500 && ![408, 425, 429].includes(answer.status))
      return c.text(`the CRM refused the pop: ${answer.status}`, 422)
    return c.text(`the CRM is not available: ${answer.status}`, 503)
  })

  return app
}
