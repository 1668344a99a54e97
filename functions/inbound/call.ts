import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { CALL_LIMITS, defineRoute, InboundCall } from 'enigma-relay/protocol'
import { inboundCall, type Effect } from 'enigma-relay/store'

/** Handles an inbound Click2Dial call that the dialler assigned to an agent, like agents/call. It arrives through a list, where it may have waited. */
export const route = defineRoute({ type: 'inbound', subType: 'call', payload: InboundCall, ...CALL_LIMITS })

export const app = new Hono<AdapterEnv<Effect>>()

app.post(route.path, async (c) => {
  const call = await event(c, route)
  record(c, inboundCall(call))
  return c.body(null, 204)
})
