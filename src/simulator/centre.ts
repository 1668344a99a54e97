import type { AgentStatsFields, AgentStatusFields, CampaignStatsFields, Outgoing } from '../producer/index.ts'
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
