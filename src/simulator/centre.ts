import {
  agentStatus,
  type AgentStatsFields,
  type AgentStatusFields,
  type CampaignStatsFields,
  type Outgoing,
} from '../producer/index.ts'
import { formatKey } from '../protocol/index.ts'
import { mix, type Random } from './random.ts'

/** The state of the call centre that is played; what happens to it is in the files beside this one. */
export type Centre = {
  /** Virtual time since the start, ms. */
  readonly now: () => number
  /** Runs a task `ms` of virtual time from now. */
  readonly after: (ms: number, task: () => void) => void
  readonly random: Random
  /** Writes a packet at this instant of virtual time. */
  readonly emit: (outgoing: Outgoing) => void
  readonly nextCallRef: () => number
  /** The unix time (s) of an instant of virtual time. */
  readonly unixSeconds: (atMs: number) => number
  readonly dialerRef: string
  readonly agents: readonly Agent[]
  readonly campaigns: readonly Campaign[]
  /** Tried and not ended. */
  readonly calls: Set<Call>
  /** Click2Dial's calls under way: what ends each. */
  readonly sideCalls: Set<() => void>
  /** The last CDRs, for what comes again from a backup file. */
  readonly recentCdrs: Outgoing[]
}

export type AgentStatus = AgentStatusFields['status']

type Writable<T> = { -readonly [Name in keyof T]: T[Name] }

export type Agent = {
  readonly ref: string
  readonly campaigns: Campaign[]
  /** In each campaign one of its own; none: offline. */
  readonly statuses: Map<Campaign, AgentStatus>
  /** Wants to work now. */
  onShift: boolean
  activity: 'away' | 'idle' | 'talking' | 'wrapup'
  activitySinceMs: number
  stats: Writable<Omit<AgentStatsFields, 'ref'>>
}

export type Campaign = {
  readonly ref: string
  readonly members: Agent[]
  /** Those who can take a call of this campaign now, the longest idle first. */
  readonly ready: Set<Agent>
  /** Answered, with no agent free yet. */
  readonly waiting: Set<Call>
  /** `stopping` and `finishing` wait for the calls to end: then it is stopped, or completed. */
  state: 'stopped' | 'started' | 'stopping' | 'finishing'
  /** Grows with each start, so that what was meant for an earlier run is known. */
  run: number
  ringing: number
  talking: number
  /** Agents in it who are not offline. */
  present: number
  /** The calling list: its number, its length, who is next. */
  list: number
  callees: number
  nextCallee: number
  stats: Writable<Omit<CampaignStatsFields, 'ref' | 'callees_remaining' | 'callees_queued'>>
}

export type Call = {
  readonly callRef: number
  readonly campaign: Campaign
  readonly callee: Subscriber
  readonly number: string
  readonly dialedAtMs: number
  answeredAtMs?: number
  handedOverAtMs?: number
  agent?: Agent
}

export const noAgentStats = (): Agent['stats'] => ({ calls: 0, talk_time: 0, wrapup_time: 0, idle_time: 0 })

export const noCampaignStats = (): Campaign['stats'] => ({
  total_calls: 0,
  answered: 0,
  unanswered: 0,
  dropped: 0,
  rejected: 0,
  failed: 0,
  callees_completed: 0,
  callees_failed: 0,
})

/** Somebody to be called: made up, but always the same for the same list and place in it. */
type Subscriber = {
  readonly contactRef: string
  /** One or two numbers, tried one after the other. South African mobile numbers by their form. */
  readonly numbers: readonly [string, string?]
}

const mobile = (hash: number) => `2782${String(hash % 10_000_000).padStart(7, '0')}`

/** The subscriber at a place of a calling list. Nothing is kept: a list of a million costs no memory. */
export function subscriberAt(list: number, place: number): Subscriber {
  const hash = mix(Math.imul(list, 0x9e3779b1) ^ place)
  const contactRef = `C${String(list).padStart(3, '0')}${String(place).padStart(7, '0')}`
  return { contactRef, numbers: hash % 4 === 0 ? [mobile(hash), mobile(mix(hash))] : [mobile(hash)] }
}

/** As the dialler dials it: the national form. */
export function toDialNumber(number: string): string {
  return number.startsWith('27') ? `0${number.slice(2)}` : number
}

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
