import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { other, type Effect } from 'enigma-relay/store'

/** Everything without a function of its own: unknown types, and what could not be read. The last thousand are kept with their bytes. */
export const app = new Hono<AdapterEnv<Effect>>()

app.post('/*', async (c) => {
  record(c, other(await event(c)))
  return c.body(null, 204)
})
