import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { AgentCall, CALL_LIMITS, defineRoute } from 'enigma-relay/protocol'
import { agentCall, type Effect } from 'enigma-relay/store'

/**
 * Handles a call that the dialler assigned to an agent: the screen pop. It is the agent's current call until it ends. A call that arrives
 * more than 30 s late is recorded as stale and never shown as current.
 *
 * Add your own pop (a CRM, a socket) after `record`: see examples/crm-pop.ts.
 */
export const route = defineRoute({ type: 'agents', subType: 'call', payload: AgentCall, ...CALL_LIMITS })

export const app = new Hono<AdapterEnv<Effect>>()

app.post(route.path, async (c) => {
  const call = await event(c, route)
  record(c, agentCall(call))
  return c.body(null, 204)
})
