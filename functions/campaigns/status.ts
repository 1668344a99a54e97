import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { CampaignStatus, defineRoute } from 'enigma-relay/protocol'
import { campaignStatus, type Effect } from 'enigma-relay/store'

/** Keeps the state of a campaign and its history. The state also confirms an asynchronous request to start or stop the campaign. */
export const route = defineRoute({ type: 'campaigns', subType: 'status', payload: CampaignStatus })

export const app = new Hono<AdapterEnv<Effect>>()

app.post(route.path, async (c) => {
  const status = await event(c, route)
  record(c, campaignStatus(status))
  return c.body(null, 204)
})
