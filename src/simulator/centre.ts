import {
  agentStatus,
  type AgentStatsFields,
  type AgentStatusFields,
  type CampaignStatsFields,
  type Outgoing,
} from '../producer/index.ts'
import { formatKey } from '../protocol/index.ts'
import { mix, type Random } from './random.ts'

/** The state of the simulated call centre. This file changes the presence of agents; the other files of this folder change the rest. */
export type Centre = {
  /** Virtual time since the start, ms. */
  readonly now: () => number
  /** Runs a task `ms` of virtual time from now. */
  readonly after: (ms: number, task: () => void) => void
  readonly random: Random
  /** Writes a packet at this instant of virtual time. */
  readonly emit: (outgoing: Outgoing) => void
  readonly nextCallRef: () => number
  /** Returns the Unix time (s) of an instant of virtual time. */
  readonly unixSeconds: (atMs: number) => number
  readonly dialerRef: string
  readonly agents: readonly Agent[]
  readonly campaigns: readonly Campaign[]
  /** Calls that have not ended. */
  readonly calls: Set<Call>
  /** For each current Click2Dial call, the function that ends it. */
  readonly sideCalls: Set<() => void>
  /** The last CDRs, some of which are written again as if from a backup file. */
  readonly recentCdrs: Outgoing[]
}

export type AgentStatus = AgentStatusFields['status']

type Writable<T> = { -readonly [Name in keyof T]: T[Name] }

export type Agent = {
  readonly ref: string
  readonly campaigns: Campaign[]
  /** The agent's status in each campaign. Without an entry: offline. */
  readonly statuses: Map<Campaign, AgentStatus>
  /** Whether the agent is at work, not on a break. */
  onShift: boolean
  activity: 'away' | 'idle' | 'talking' | 'wrapup'
  activitySinceMs: number
  stats: Writable<Omit<AgentStatsFields, 'ref'>>
}

export type Campaign = {
  readonly ref: string
  readonly members: Agent[]
  /** Agents who can take a call of this campaign now, the longest idle first. */
  readonly ready: Set<Agent>
  /** Answered calls that wait for an agent. */
  readonly waiting: Set<Call>
  /** `stopping` and `finishing` wait for the calls to end. Then the campaign is stopped, or completed. */
  state: 'stopped' | 'started' | 'stopping' | 'finishing'
  /** Rises with each start, so that a task of an earlier run can be recognised. */
  run: number
  ringing: number
  talking: number
  /** Number of agents in the campaign who are not offline. */
  present: number
  /** The calling list: its number, its length, and the next callee. */
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

/** A fictitious person to call. The same list and place always give the same person. */
type Subscriber = {
  readonly contactRef: string
  /** One or two numbers, tried in turn, in the form of South African mobile numbers. */
  readonly numbers: readonly [string, string?]
}

const mobile = (hash: number) => `2782${String(hash % 10_000_000).padStart(7, '0')}`

/** Returns the subscriber at a place of a calling list. Subscribers are computed, so that a list of a million uses no memory. */
export function subscriberAt(list: number, place: number): Subscriber {
  const hash = mix(Math.imul(list, 0x9e3779b1) ^ place)
  const contactRef = `C${String(list).padStart(3, '0')}${String(place).padStart(7, '0')}`
  return { contactRef, numbers: hash % 4 === 0 ? [mobile(hash), mobile(mix(hash))] : [mobile(hash)] }
}

/** Converts a number to the national form, which the dialler dials. */
export function toDialNumber(number: string): string {
  return number.startsWith('27') ? `0${number.slice(2)}` : number
}

/* An agent's presence in campaigns: logging in, leaving, breaks. */

export const statusIn = (agent: Agent, campaign: Campaign): AgentStatus => agent.statuses.get(campaign) ?? 'offline'

export function setStatus(centre: Centre, agent: Agent, campaign: Campaign, status: AgentStatus): void {
  const before = statusIn(agent, campaign)
  if (before === 'offline') campaign.present++
  if (status === 'offline') campaign.present--
  agent.statuses.set(campaign, status)
  const packet = agentStatus({ ref: agent.ref, status, campaign_ref: campaign.ref })
  // The vendor's overview page uses the singular, so some diallers may publish there.
  const singular = centre.random.chance(0.01)
  centre.emit(singular ? { ...packet, key: formatKey({ type: 'agent', reference: agent.ref }) } : packet)
}

/** Adds the time since the last change to the agent's figures, and sets the new activity. */
export function setActivity(centre: Centre, agent: Agent, activity: Agent['activity']): void {
  const spent = Math.round(centre.now() - agent.activitySinceMs)
  if (agent.activity === 'talking') agent.stats.talk_time += spent
  if (agent.activity === 'wrapup') agent.stats.wrapup_time += spent
  if (agent.activity === 'idle') agent.stats.idle_time += spent
  agent.activity = activity
  agent.activitySinceMs = centre.now()
}

/** A campaign that ends keeps its agents until no ringing call can be answered any more. */
const needsAgents = (campaign: Campaign) =>
  campaign.state === 'started' || (campaign.state !== 'stopped' && campaign.ringing + campaign.waiting.size > 0)

export const isWanted = (agent: Agent, campaign: Campaign) => agent.onShift && needsAgents(campaign)

/** Logs an agent in or out as shift and campaign require. Must be called when either changes. */
export function settle(centre: Centre, agent: Agent, campaign: Campaign): void {
  const status = statusIn(agent, campaign)
  if (status === 'offline' && agent.onShift && campaign.state === 'started') logIn(centre, agent, campaign)
  if (status !== 'available') return
  // A packet agents/call names no campaign, so a consumer concludes that an agent who leaves any campaign has ended the call.
  // Therefore no agent leaves a campaign while talking in another, or gets a call while leaving.
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
      // A failed login returns to offline, and the agent tries again.
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

/** Settles an agent after a random delay, because people do not all act at the same instant. */
export function settleSoon(centre: Centre, agent: Agent, campaign: Campaign, withinMs: number): void {
  centre.after(centre.random.between(0, withinMs), () => settle(centre, agent, campaign))
}

/** Starts an agent's work, or continues it after a break. The agent's figures start again at 0. */
export function startShift(centre: Centre, agent: Agent): void {
  agent.onShift = true
  agent.stats = noAgentStats()
  for (const campaign of agent.campaigns) settleSoon(centre, agent, campaign, 1_500)
}

/** Sends an agent on a break of some minutes: out of every campaign, and back. */
export function takeBreak(centre: Centre, agent: Agent): void {
  agent.onShift = false
  setActivity(centre, agent, 'away')
  for (const campaign of agent.campaigns) settle(centre, agent, campaign)
  centre.after(centre.random.between(60_000, 300_000), () => startShift(centre, agent))
}
