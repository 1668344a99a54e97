import { agentStats, dialPreview } from '../../producer/index.ts'
import { toCampaignStats } from './campaigns.ts'
import type { Agent, Campaign, Centre } from './centre.ts'
import { setActivity } from './sessions.ts'
import { subscriberAt } from './subscribers.ts'

/** What the dialler tells again and again: figures, and who will be dialled next. */

const CAMPAIGN_STATS_MS = 10_000
const PREVIEW_MS = 10_000
const AGENT_STATS_MS = 30_000

export function startReports(centre: Centre): void {
  const { random } = centre
  for (const campaign of centre.campaigns) {
    every(centre, random.between(4_000, 8_000), CAMPAIGN_STATS_MS, () => {
      if (campaign.state !== 'stopped') centre.emit(toCampaignStats(campaign))
    })
    every(centre, random.between(3_000, 6_000), PREVIEW_MS, () => {
      if (campaign.state === 'started') centre.emit(toPreview(campaign))
    })
  }
  for (const agent of centre.agents) {
    every(centre, random.between(5_000, 5_000 + AGENT_STATS_MS), AGENT_STATS_MS, () => {
      if (agent.activity !== 'away') centre.emit(toAgentStats(centre, agent))
    })
  }
}

function every(centre: Centre, firstMs: number, everyMs: number, task: () => void): void {
  const run = () => {
    task()
    centre.after(everyMs, run)
  }
  centre.after(firstMs, run)
}

/** About twice the active agents, as the vendor's page Campaign Preview says. */
function toPreview(campaign: Campaign) {
  const until = Math.min(campaign.callees, campaign.nextCallee + 2 * campaign.present)
  const callees = []
  for (let place = campaign.nextCallee; place < until; place++) {
    const { numbers, contactRef } = subscriberAt(campaign.list, place)
    callees.push({ number: numbers[0], contact_ref: contactRef })
  }
  return dialPreview({ ref: campaign.ref, callees })
}

function toAgentStats(centre: Centre, agent: Agent) {
  // The span that is running counts as well.
  setActivity(centre, agent, agent.activity)
  return agentStats({ ref: agent.ref, ...agent.stats })
}
