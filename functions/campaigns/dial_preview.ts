import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { defineRoute, DialPreview } from 'enigma-relay/protocol'
import { dialPreview, type Effect } from 'enigma-relay/store'

/** Keeps the contacts that will be dialled next. Each list replaces the previous one, and expires after 15 minutes. */
export const route = defineRoute({ type: 'campaigns', subType: 'dial_preview', payload: DialPreview, lingerMs: 1_000 })

export const app = new Hono<AdapterEnv<Effect>>()

app.post(route.path, async (c) => {
  const preview = await event(c, route)
  record(c, dialPreview(preview))
  return c.body(null, 204)
})
