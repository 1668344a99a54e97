import { agentStatus } from '../producer/index.ts'
import { formatKey } from '../protocol/index.ts'
import { noAgentStats, type Agent, type AgentStatus, type Campaign, type Centre } from './centre.ts'

/** An agent's presence in campaigns: logging in, leaving, breaks. */

export const statusIn = (agent: Agent, campaign: Campaign): AgentStatus => agent.statuses.get(campaign) ?? 'offline'

export function setStatus(centre: Centre, agent: Agent, campaign: Campaign, status: AgentStatus): void {
  const before = statusIn(agent, campaign)
  if (before === 'offline') campaign.present++
  if (status === 'offline') campaign.present--
  agent.statuses.set(campaign, status)
  const packet = agentStatus({ ref: agent.ref, status, campaign_ref: campaign.ref })
  // The vendor's overview writes the singular: some dialler may do so.
  const singular = centre.random.chance(0.01)
  centre.emit(singular ? { ...packet, key: formatKey({ type: 'agent', reference: agent.ref }) } : packet)
}

/** Closes the span of time that the agent has spent at something. */
export function setActivity(centre: Centre, agent: Agent, activity: Agent['activity']): void {
  const spent = Math.round(centre.now() - agent.activitySinceMs)
  if (agent.activity === 'talking') agent.stats.talk_time += spent
  if (agent.activity === 'wrapup') agent.stats.wrapup_time += spent
  if (agent.activity === 'idle') agent.stats.idle_time += spent
  agent.activity = activity
  agent.activitySinceMs = centre.now()
}

/** A campaign that ends keeps its agents until nobody can still answer. */
const needsAgents = (campaign: Campaign) =>
  campaign.state === 'started' || (campaign.state !== 'stopped' && campaign.ringing + campaign.waiting.size > 0)

export const isWanted = (agent: Agent, campaign: Campaign) => agent.onShift && needsAgents(campaign)

/** Brings an agent to where the shift and the campaign want them; to be called whenever either has changed. */
export function settle(centre: Centre, agent: Agent, campaign: Campaign): void {
  const status = statusIn(agent, campaign)
  if (status === 'offline' && agent.onShift && campaign.state === 'started') logIn(centre, agent, campaign)
  if (status !== 'available') return
  // A packet agents/call names no campaign: to a reader, whoever leaves any campaign has ended the call. So nobody leaves one
  // while talking in another, and gets no call while leaving.
  if (isWanted(agent, campaign)) {
    if (agent.activity === 'idle' && !isLeaving(agent)) campaign.ready.add(agent)
  } else if (agent.activity !== 'talking') {
    logOut(centre, agent, campaign)
  }
}

const isLeaving = (agent: Agent) => agent.campaigns.some((campaign) => statusIn(agent, campaign) === 'logging_out')

function logIn(centre: Centre, agent: Agent, campaign: Campaign): void {
  setStatus(centre, agent, campaign, 'logging_in')
  const { random } = centre
  centre.after(random.between(300, 1_500), () => {
    if (agent.activity !== 'talking' && random.chance(0.015)) {
      // A login that fails goes straight back; the agent tries again.
      setStatus(centre, agent, campaign, 'offline')
      centre.after(random.between(4_000, 12_000), () => settle(centre, agent, campaign))
      return
    }
    setStatus(centre, agent, campaign, 'available')
    if (agent.onShift && agent.activity === 'away') setActivity(centre, agent, 'idle')
    centre.after(0, () => settle(centre, agent, campaign))
  })
}

export function logOut(centre: Centre, agent: Agent, campaign: Campaign): void {
  for (const any of agent.campaigns) any.ready.delete(agent)
  setStatus(centre, agent, campaign, 'logging_out')
  centre.after(centre.random.between(200, 900), () => {
    setStatus(centre, agent, campaign, 'offline')
    for (const any of agent.campaigns) settleSoon(centre, agent, any, 500)
  })
}

/** Not all in the same instant: people are slower than machines. */
export function settleSoon(centre: Centre, agent: Agent, campaign: Campaign, withinMs: number): void {
  centre.after(centre.random.between(0, withinMs), () => settle(centre, agent, campaign))
}

/** The agent comes to work, or back from a break; figures start again. */
export function startShift(centre: Centre, agent: Agent): void {
  agent.onShift = true
  agent.stats = noAgentStats()
  for (const campaign of agent.campaigns) settleSoon(centre, agent, campaign, 1_500)
}

/** The agent goes for a break: out of every campaign, back after some minutes. */
export function takeBreak(centre: Centre, agent: Agent): void {
  agent.onShift = false
  setActivity(centre, agent, 'away')
  for (const campaign of agent.campaigns) settle(centre, agent, campaign)
  centre.after(centre.random.between(60_000, 300_000), () => startShift(centre, agent))
}
