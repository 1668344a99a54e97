import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { CampaignStats, defineRoute } from 'enigma-relay/protocol'
import { campaignStats, type Effect } from 'enigma-relay/store'

/** Keeps the latest counters of a campaign and a short time series for charts. A decrease of a counter means that the dialler reset it. */
export const route = defineRoute({ type: 'campaigns', subType: 'stats', payload: CampaignStats, lingerMs: 1_000 })

export const app = new Hono<AdapterEnv<Effect>>()

app.post(route.path, async (c) => {
  const stats = await event(c, route)
  record(c, campaignStats(stats))
  return c.body(null, 204)
})
