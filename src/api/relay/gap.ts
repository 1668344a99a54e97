import { Hono } from 'hono'
import { event, record, type AdapterEnv } from '../../adapter/index.ts'
import { RelayGap } from '../../protocol/index.ts'
import { relayGap, type Effect } from '../../store/index.ts'

/** PubSub was not heard for a while, or what was heard was given up. `GET /gaps` shows it, and states from before it are unsure. */
export const app = new Hono<AdapterEnv<Effect>>()

app.post('/relay/gap/:ref?', async (c) => {
  const gap = await event(c, RelayGap)
  record(c, relayGap(gap))
  return c.body(null, 204)
})
