import { Redis } from '@upstash/redis'
import { Pool } from 'pg'
import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { AgentCall, CALL_LIMITS, defineRoute } from 'enigma-relay/protocol'
import { agentCall, type Effect } from 'enigma-relay/store'
import { toHandler } from 'enigma-relay/lambda'

/** A function of a user's own: it uses the same packages as ours, in other ways. */
const app = new Hono<AdapterEnv<Effect>>()
const redis = Redis.fromEnv()
/** A package that calls `require`; it connects to nothing. */
const pool = new Pool()
const route = defineRoute({ type: 'agents', subType: 'call', payload: AgentCall, ...CALL_LIMITS })

app.post(route.path, async (c) => {
  const call = await event(c, route)
  record(c, agentCall(call))
  await redis.set('own:pop', { agent: call.reference, connections: pool.totalCount })
  const answer = await fetch(process.env['CRM_URL'] ?? '', { method: 'POST', body: JSON.stringify(call.payload) })
  return answer.ok ? c.body(null, 204) : c.text('the CRM did not take the pop', 503)
})

export const handler = toHandler(app, route)
