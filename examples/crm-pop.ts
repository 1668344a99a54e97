import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { setting } from 'enigma-relay/settings'
import { AgentCall, CALL_LIMITS, defineRoute } from 'enigma-relay/protocol'
import { agentCall, type Effect } from 'enigma-relay/store'

/**
 * Handles agents/call and pushes the screen pop to a CRM. Replace `functions/agents/call.ts` with this file.
 *
 * The effect of the read model is recorded first and is kept whatever the CRM does, so the agent's current call is shown while the CRM
 * is down. The pop uses the notification's id as its idempotency key, which is the same on every copy and every attempt. A replay should
 * pop again, so its id is part of the key.
 */
export const route = defineRoute({
  type: 'agents',
  subType: 'call',
  payload: AgentCall,
  ...CALL_LIMITS,
  // The URL at which the CRM accepts a pop, by POST.
  variables: { CRM_URL: 'https://crm.example.com/pops' },
  // Sent as a bearer token.
  secrets: ['CRM_TOKEN'],
})

/** Time limit (ms) for the CRM. An agent is looking at the screen, so another attempt is better than a long wait. */
const CRM_MS = 2_000

export const app = new Hono<AdapterEnv<Effect>>()

app.post(route.path, async (c) => {
  const call = await event(c, route)
  record(c, agentCall(call))
  // A call that is older than 30 s has ended or was answered long ago, so its pop is useless.
  if (call.stale) return c.body(null, 204)

  // Without a CRM, as on your own machine, only the read model gets the call. A deployed function always has the variables that it declares.
  const url = await setting('CRM_URL')
  if (url === '') return c.body(null, 204)

  const { call_ref, contact_ref, number, campaign_ref } = call.payload
  const answer = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${await setting('CRM_TOKEN')}`,
      'idempotency-key': call.replay === undefined ? call.id : `${call.id} ${call.replay}`,
    },
    body: JSON.stringify({ agent: call.reference, call_ref, contact_ref, number, campaign_ref, at: call.time }),
    // Aborts at the time limit of the CRM, or at that of the notification, whichever comes first.
    signal: AbortSignal.any([AbortSignal.timeout(CRM_MS), c.req.raw.signal]),
  })
  // 409: the CRM already has this pop.
  if (answer.ok || answer.status === 409) return c.body(null, 204)
  // A retry does not help with other 4xx errors: park the notification with this text. 5xx and these three are retried.
  if (answer.status >= 400 && answer.status < 500 && ![408, 425, 429].includes(answer.status))
    return c.text(`the CRM rejected the pop: ${answer.status}`, 422)
  return c.text(`the CRM is not available: ${answer.status}`, 503)
})
