import { Hono } from 'hono'
import { event, fromSqs, record, type AdapterEnv } from 'enigma-relay/adapter'
import { RelayGap } from 'enigma-relay/protocol'
import { relayGap, type Effect } from 'enigma-relay/store'
import { wire } from '../wiring.ts'

/** PubSub was not heard for a while, or what was heard was given up. `GET /gaps` shows it, and states from before it are unsure. */
export const app = new Hono<AdapterEnv<Effect>>()

app.post('/relay/gap/:ref?', async (c) => {
  const gap = await event(c, RelayGap)
  record(c, relayGap(gap))
  return c.body(null, 204)
})

export const handler = fromSqs(app, wire('relay', 'gap'))
