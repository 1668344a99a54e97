import { Hono } from 'hono'
import { event, record, type AdapterEnv } from '../../adapter/index.ts'
import { RelayAlive } from '../../protocol/index.ts'
import { relayAlive, type Effect } from '../../store/index.ts'

/** A relay was ready: once a minute. `GET /relays` shows when each last was; a queue that gets none for five minutes raises an alarm. */
export const app = new Hono<AdapterEnv<Effect>>()

app.post('/relay/alive/:ref?', async (c) => {
  const alive = await event(c, RelayAlive)
  record(c, relayAlive(alive))
  return c.body(null, 204)
})
