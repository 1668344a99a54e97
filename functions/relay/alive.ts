import { Hono } from 'hono'
import { event, fromSqs, record, type AdapterEnv } from 'enigma-relay/adapter'
import { RelayAlive } from 'enigma-relay/protocol'
import { relayAlive, type Effect } from 'enigma-relay/store'
import { wire } from '../wiring.ts'

/** A relay was ready: once a minute. `GET /relays` shows when each last was; a queue that gets none for five minutes raises an alarm. */
export const app = new Hono<AdapterEnv<Effect>>()

app.post('/relay/alive/:ref?', async (c) => {
  const alive = await event(c, RelayAlive)
  record(c, relayAlive(alive))
  return c.body(null, 204)
})

export const handler = fromSqs(app, wire('relay', 'alive'))
