import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { setting } from 'enigma-relay/settings'
import { AgentCall, CALL_LIMITS, defineRoute } from 'enigma-relay/protocol'
import { agentCall, type Effect } from 'enigma-relay/store'

/**
 * agents/call, with the screen pop pushed into a CRM. Put this file in the place of `functions/agents/call.ts`.
 *
 * The read model's effect is recorded first: it stays whatever the CRM does, so the agent's current call is shown while the CRM
 * is down. The pop carries the notification's id as its idempotency key: it is the same on each copy and each attempt. A replay is to pop
 * again, so its id is part of the key.
 */
export const route = defineRoute({
  type: 'agents',
  subType: 'call',
  payload: AgentCall,
  ...CALL_LIMITS,
  // Where the CRM takes a pop, by POST.
  variables: { CRM_URL: 'https://crm.example.com/pops' },
  // Sent as a bearer token.
  secrets: ['CRM_TOKEN'],
})

/** Longest wait (ms) for the CRM. An agent looks at the screen now: rather another try than a long wait. */
const CRM_MS = 2_000

export const app = new Hono<AdapterEnv<Effect>>()

app.post(route.path, async (c) => {
  const call = await event(c, route)
  record(c, agentCall(call))
  // A call that is older than 30 s is over, or has long been answered: nobody wants its pop now.
  if (call.stale) return c.body(null, 204)

  // Where there is no CRM, on your own machine, only the read model has it. A deployed function has what it declares.
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
    // The time limit of this step, and the one of the notification.
    signal: AbortSignal.any([AbortSignal.timeout(CRM_MS), c.req.raw.signal]),
  })
  // 409: this very pop is there already.
  if (answer.ok || answer.status === 409) return c.body(null, 204)
  // Any other 4xx will not get better by trying again: parked with this text. 5xx and these three are tried again.
  if (answer.status >= 400 && answer.status < 500 && ![408, 425, 429].includes(answer.status))
    return c.text(`the CRM refused the pop: ${answer.status}`, 422)
  return c.text(`the CRM is not available: ${answer.status}`, 503)
})
