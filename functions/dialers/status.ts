import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { DialerStatus } from 'enigma-relay/protocol'
import { dialerStatus, type Effect } from 'enigma-relay/store'

/** A dialler has started, is stopping or has stopped. */
export const app = new Hono<AdapterEnv<Effect>>()

app.post('/dialers/status/:ref?', async (c) => {
  const status = await event(c, DialerStatus)
  record(c, dialerStatus(status))
  return c.body(null, 204)
})
