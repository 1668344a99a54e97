import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { defineRoute, DialerStatus } from 'enigma-relay/protocol'
import { dialerStatus, type Effect } from 'enigma-relay/store'

/** Keeps the state of a dialler: started, stopping or stopped. */
export const route = defineRoute({ type: 'dialers', subType: 'status', payload: DialerStatus })

export const app = new Hono<AdapterEnv<Effect>>()

app.post(route.path, async (c) => {
  const status = await event(c, route)
  record(c, dialerStatus(status))
  return c.body(null, 204)
})
