import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { AgentStatus, defineRoute, WATCHED_LIMITS } from 'enigma-relay/protocol'
import { agentStatus, type Effect } from 'enigma-relay/store'

/**
 * Keeps the state of an agent in a campaign, and since when. A state that cannot follow the previous one (available → wrapup) is stored
 * and flagged, because a packet in between was lost. `wrapup`, `logging_out`, `offline` and a later `available` end the agent's call in
 * that campaign.
 */
export const route = defineRoute({
  type: 'agents',
  subType: 'status',
  payload: AgentStatus,
  // By far the busiest route. At 2,660/s and 10 ms to SQS, these two settings reduce the median latency by 2 ms for a third more requests (npm run bench).
  lanes: 128,
  inFlight: 5,
  // Nobody notices a delay of 0.1 s. In that time, 1,000 agents send six statuses, which then share a request and an invocation.
  lingerMs: 100,
  maxConcurrency: 50,
  alarmAgeSeconds: 60,
  retrySeconds: 30,
  attempts: 20,
  ...WATCHED_LIMITS,
})

export const app = new Hono<AdapterEnv<Effect>>()

app.post(route.path, async (c) => {
  const status = await event(c, route)
  record(c, agentStatus(status))
  return c.body(null, 204)
})
