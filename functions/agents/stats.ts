import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { AgentStats, defineRoute } from 'enigma-relay/protocol'
import { agentStats, type Effect } from 'enigma-relay/store'

/**
 * Keeps the latest counters of an agent and a short time series for charts, per source and campaign. A decrease of a counter means that
 * the dialler reset it.
 */
export const route = defineRoute({ type: 'agents', subType: 'stats', payload: AgentStats, lingerMs: 1_000 })

export const app = new Hono<AdapterEnv<Effect>>()

app.post(route.path, async (c) => {
  const stats = await event(c, route)
  record(c, agentStats(stats))
  return c.body(null, 204)
})
