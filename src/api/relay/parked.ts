import { Hono } from 'hono'
import { event, record, type AdapterEnv } from '../../adapter/index.ts'
import { RelayParked } from '../../protocol/index.ts'
import { relayParked, type Effect } from '../../store/index.ts'

/** The relay put a notification aside that SQS cannot take, or somebody has sent it again or dropped it. `GET /parked` shows them. */
export const app = new Hono<AdapterEnv<Effect>>()

app.post('/relay/parked/:id?', async (c) => {
  const parked = await event(c, RelayParked)
  record(c, relayParked(parked))
  return c.body(null, 204)
})
