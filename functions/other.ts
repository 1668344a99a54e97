import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { other, type Effect } from 'enigma-relay/store'

/** Keeps the latest 1,000 notifications without a function of their own, with their bytes: unknown types, and packets that cannot be read. */
export const app = new Hono<AdapterEnv<Effect>>()

app.post('/*', async (c) => {
  record(c, other(await event(c)))
  return c.body(null, 204)
})
