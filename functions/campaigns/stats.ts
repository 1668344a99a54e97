import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { CampaignStats } from 'enigma-relay/protocol'
import { campaignStats, type Effect } from 'enigma-relay/store'

/** The latest values of a campaign and a short series for charts. A decrease of a counter means that the dialler began to count anew. */
export const app = new Hono<AdapterEnv<Effect>>()

app.post('/campaigns/stats/:ref?', async (c) => {
  const stats = await event(c, CampaignStats)
  record(c, campaignStats(stats))
  return c.body(null, 204)
})
