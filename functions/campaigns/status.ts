import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { CampaignStatus } from 'enigma-relay/protocol'
import { campaignStatus, type Effect } from 'enigma-relay/store'

/** The state of a campaign and its history. It also confirms an asynchronous request to start or stop the campaign. */
export const app = new Hono<AdapterEnv<Effect>>()

app.post('/campaigns/status/:ref?', async (c) => {
  const status = await event(c, CampaignStatus)
  record(c, campaignStatus(status))
  return c.body(null, 204)
})
