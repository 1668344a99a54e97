import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { AgentCall } from 'enigma-relay/protocol'
import { agentCall, type Effect } from 'enigma-relay/store'

/**
 * A call is handed to an agent: the screen pop. It is the agent's current call until it ends; one that comes more than 30 s late is
 * recorded as stale and never shown as current.
 *
 * Your own pop (a CRM, a socket) goes behind `record`: see examples/crm-pop.ts.
 */
export const app = new Hono<AdapterEnv<Effect>>()

app.post('/agents/call/:ref?', async (c) => {
  const call = await event(c, AgentCall)
  record(c, agentCall(call))
  return c.body(null, 204)
})
