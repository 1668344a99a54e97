import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { AgentStatus, defineRoute, WATCHED_LIMITS } from 'enigma-relay/protocol'
import { agentStatus, type Effect } from 'enigma-relay/store'

/**
 * The state of an agent in a campaign, and since when. A state that cannot follow the former one (available → wrapup) is taken and
 * flagged: a packet was lost between them. Wrapup, logging_out, offline and a later available end the agent's call in that campaign.
 */
export const route = defineRoute({
  type: 'agents',
  subType: 'status',
  payload: AgentStatus,
  // The busiest by far: at 2,660/s and 10 ms to SQS these two take 2 ms off the median for a third more requests (npm run bench).
  lanes: 128,
  inFlight: 5,
  // Nobody sees a tenth of a second, in which 1,000 agents make six of them: so many share a request and an invocation.
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
