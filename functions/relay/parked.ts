import { Hono } from 'hono'
import { event, fromSqs, record, type AdapterEnv } from 'enigma-relay/adapter'
import { RelayParked } from 'enigma-relay/protocol'
import { relayParked, type Effect } from 'enigma-relay/store'
import { wire } from '../wiring.ts'

/** The relay put a notification aside that SQS cannot take, or somebody has sent it again or dropped it. `GET /parked` shows them. */
export const app = new Hono<AdapterEnv<Effect>>()

app.post('/relay/parked/:id?', async (c) => {
  const parked = await event(c, RelayParked)
  record(c, relayParked(parked))
  return c.body(null, 204)
})

export const handler = fromSqs(app, wire('relay', 'parked'))
