import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { AgentStatus } from 'enigma-relay/protocol'
import { agentStatus, type Effect } from 'enigma-relay/store'

/**
 * The state of an agent in a campaign, and since when. A state that cannot follow the former one (available → wrapup) is taken and
 * flagged: a packet was lost between them. Wrapup, logging_out, offline and a later available end the agent's call in that campaign.
 */
export const app = new Hono<AdapterEnv<Effect>>()

app.post('/agents/status/:ref?', async (c) => {
  const status = await event(c, AgentStatus)
  record(c, agentStatus(status))
  return c.body(null, 204)
})
