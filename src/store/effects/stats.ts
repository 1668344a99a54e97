import { isIdentifier, type AgentStats, type CampaignStats } from '../../protocol/index.ts'
import { plain, textOr, toChange, toReceived, toStamp, type StoreEvent } from '../effect.ts'
import { step, toEffect, type Effect } from '../steps.ts'

/** Values that go up and down; all others are counters, and a decrease of one means that the dialler began to count anew. */
const GAUGE = /^callees_(remaining|queued)$/

/** agents/stats: the latest values and a short series, for each source and campaign. */
export const agentStats = (event: StoreEvent<AgentStats>): Effect => toStats(event, 'agent')

/** campaigns/stats */
export const campaignStats = (event: StoreEvent<CampaignStats>): Effect => toStats(event, 'campaign')

function toStats(event: StoreEvent<AgentStats | CampaignStats>, of: 'agent' | 'campaign'): Effect {
  const values: Record<string, number> = {}
  const counters: string[] = []
  for (const [name, value] of Object.entries(event.payload)) {
    if (isIdentifier(name)) continue
    const number =
      typeof value === 'number' ? value : typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN
    if (!Number.isFinite(number)) continue
    values[name] = number
    if (!GAUGE.test(name)) counters.push(plain(name), String(number))
  }
  const ref = event.reference || event.payload.ref || ''
  const campaign = of === 'agent' ? plain(textOr(event.payload['campaign_ref']) ?? '') : ''
  return toEffect([
    step(
      'stats',
      {
        of,
        ref,
        campaign,
        stamp: toStamp(event),
        at: toReceived(event),
        values: JSON.stringify(values),
        change: toChange(event, { kind: `${of}s/stats`, ref, campaign_ref: campaign }),
      },
      counters,
    ),
  ])
}
