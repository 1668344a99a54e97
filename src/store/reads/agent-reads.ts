import type { Agent, AgentDetail, AgentsPage, AgentState, Call } from '../../answers/index.ts'
import { isNewer, msOf, parseDocument, parseEntries, SEPARATOR, sourceOf, toName } from '../document.ts'
import { type GapMarks, gapsKey, readStats, statsKey, toGapMarks } from './latest-reads.ts'
import {
  afterSeparator,
  clampLimit,
  countBy,
  formatCursor,
  type Named,
  newestFirst,
  type PageRequest,
  parseName,
  readNames,
  type ReadOptions,
  readReferences,
  toTexts,
} from './list-pages.ts'

/** A filter of agents. An agent matches if one of its states does. */
export type AgentFilter = PageRequest & {
  readonly campaign?: string | undefined
  readonly status?: string | undefined
  /** Only agents whose state or call may have changed unheard; false: only other agents. */
  readonly unsure?: boolean | undefined
  /** Return counts even without a filter. */
  readonly counts?: boolean | undefined
}

/** The rank of a stale call, as in its effect. */
const STALE = '0'

/** Reads a page of agents by reference, each with its states and its current call. With a filter or counts, reads all agents. */
export async function readAgents(options: ReadOptions, filter: AgentFilter = {}): Promise<AgentsPage> {
  const { upstash, prefix } = options
  const { cursor, limit: asked, campaign, status, unsure, counts: withCounts = false } = filter
  const limit = clampLimit(asked)
  if (campaign === undefined && status === undefined && unsure === undefined && !withCounts) {
    const names = await readNames(options, `${prefix}agents`, cursor, limit)
    return { items: await readNamed(options, names.items), next: names.next }
  }
  const last = cursor === undefined ? '-' : `[${parseName(cursor)}`
  const [{ names, agents }, [before]] = await Promise.all([
    readAllAgents(options),
    upstash.readAll([['ZLEXCOUNT', `${prefix}agents`, '-', last]]),
  ])
  const words: string[] = []
  const fitting = agents.map((agent) => {
    const states = agent.states.filter(
      (state) =>
        (campaign === undefined || state.campaign_ref === campaign) &&
        (unsure === undefined || (state.unsure || agent.call_unsure) === unsure),
    )
    words.push(...states.map((state) => state.status))
    return states.some((state) => status === undefined || state.status === status)
  })
  const rest = [...agents.keys()].filter((index) => fitting[index] === true && index >= Number(before))
  const page = rest.slice(0, limit)
  return {
    items: page.map((index) => agents[index] as Agent),
    next: rest.length > limit ? formatCursor([names[page.at(-1) ?? 0]?.name ?? '']) : null,
    counts: countBy(words),
  }
}

/** Reads the references of all agents, in the order of their names in keys. */
export async function readAllNames(options: ReadOptions): Promise<Named[]> {
  const [all] = await options.upstash.readAll([['ZRANGE', `${options.prefix}agents`, '0', '-1']])
  return readReferences(options, toTexts(all))
}

/** Reads all agents, in the order of their names in keys. */
export async function readAllAgents(options: ReadOptions): Promise<{ names: Named[]; agents: Agent[] }> {
  const names = await readAllNames(options)
  return { names, agents: await readNamed(options, names) }
}

async function readNamed(options: ReadOptions, names: readonly Named[]): Promise<Agent[]> {
  const { upstash, prefix } = options
  const [gaps, ...texts] = await upstash.readTexts([
    gapsKey(prefix),
    ...names.map(({ name }) => `${prefix}agent:${name}`),
  ])
  const marks = toGapMarks(gaps)
  return names.map(({ ref }, index) => toAgent(options, ref, parseDocument(texts[index]), marks))
}

/** Reads an agent with its latest calls and stats. Returns null for an unknown agent. */
export async function readAgent(options: ReadOptions, ref: string): Promise<AgentDetail | null> {
  const { upstash, prefix } = options
  const name = await toName(ref)
  const [gaps, text, calls, stats] = await upstash.readTexts([
    gapsKey(prefix),
    `${prefix}agent:${name}`,
    `${prefix}agent_calls:${name}`,
    statsKey(prefix, 'agent', name),
  ])
  const fields = parseDocument(text)
  const detail = {
    ...toAgent(options, ref, fields, toGapMarks(gaps)),
    calls: newestFirst(parseEntries(calls)).map(readCall),
    stats: await readStats(options, 'agent', name, stats),
  }
  return fields.size === 0 && detail.calls.length === 0 && detail.stats.length === 0 ? null : detail
}

function readCall(entry: string): Call {
  const [, , , , , rank = ''] = entry.split(SEPARATOR)
  const call = JSON.parse(afterSeparator(entry)) as Omit<Call, 'stale'>
  return { ...call, stale: rank === STALE }
}

/** Returns the states in an agent's document. `own` is the name of each state there. */
export const toStates = (fields: ReadonlyMap<string, string>) =>
  [...fields]
    .filter(([field]) => field.startsWith('s:'))
    .map(([field, value]) => {
      const [status = '', since = '', stamp = '', campaign = ''] = value.split(SEPARATOR)
      return { own: field.slice(2), status, since, stamp, campaign }
    })

export function toAgent(
  { now, callLimitSeconds }: ReadOptions,
  ref: string,
  fields: ReadonlyMap<string, string>,
  gaps: GapMarks,
): Agent {
  const stored = toStates(fields)
  const states = stored.map(({ own, status, since, stamp, campaign }): AgentState => {
    const [from, to, at] = fields.get(`u:${own}`)?.split(SEPARATOR) ?? []
    return {
      source: stamp.split('|')[0] ?? '',
      campaign_ref: campaign === '' ? null : campaign,
      status,
      since,
      unexpected: from === undefined || to === undefined || at === undefined ? null : { from, to, at },
      unexpected_count: Number(fields.get(`n:${own}`) ?? 0),
      unsure: gaps.coverState(stamp, 'agents-status'),
    }
  })
  const order = ({ campaign_ref: campaign, source }: AgentState) => `${campaign ?? ''} ${source}`
  states.sort((a, b) => (order(a) < order(b) ? -1 : 1))
  const judged = judgeCall({ fields, states: stored, nowMs: now(), limitMs: callLimitSeconds * 1000 })
  const json = fields.get('call_json')
  if (judged === 'over' || json === undefined) return { ref, states, call: null, call_unsure: false }
  const call = { ...(JSON.parse(json) as Omit<Call, 'stale'>), stale: false }
  return { ref, states, call, call_unsure: judged === 'doubt' || gaps.coverCall(fields.get('call_stamp') ?? '') }
}

/** The state of an agent in one campaign. */
export type HeldState = { readonly stamp: string; readonly status: string; readonly campaign: string }

/** The last call in an agent's document, and the facts that decide whether it has ended. */
export type CallFacts = {
  readonly fields: ReadonlyMap<string, string>
  readonly states: readonly HeldState[]
  readonly nowMs: number
  readonly limitMs: number
}

type Turn = { readonly kind: 'busy' | 'wrapup' | 'none'; readonly campaign: string; readonly stamp: string }

/** The number of turns that the script keeps (`MAX_TURNS` in `lua/agents.lua`). */
const MAX_TURNS = 24

/** A `busy` this close (ms) before or after a call belongs to it: the two may arrive by different transports. */
const MAX_DISTANCE_MS = 10_000

/** Two transports have no common order. A status this close (ms) after a call of another transport may be older than the call. */
const MAX_CROSSING_MS = 500

const NOT_LOGGED_IN = new Set(['offline', 'logging_out', 'logging_in'])

const ENDS = new Set(['available', 'wrapup', ...NOT_LOGGED_IN])

/**
 * Decides whether the agent still has the last call: `over`, `doubt` (something may have ended it: the call stays, flagged) or `open`.
 *
 * A call does not name its campaign, and an agent may be in several. The call belongs to the campaign in which the agent became `busy` with
 * it, and only a state of that campaign ends it. The function is pure, so the order in which the facts were written does not matter.
 */
export function judgeCall(facts: CallFacts): 'over' | 'doubt' | 'open' {
  const { fields, nowMs, limitMs } = facts
  const by = fields.get('call_over')
  if ((fields.get('call_json') ?? '') === '' || by === 'over') return 'over'
  if (nowMs - msOf(fields.get('call_stamp') ?? '') > limitMs) return 'over'
  const end = findEnd(facts)
  return typeof end === 'object' ? 'over' : by === 'doubt' ? 'doubt' : end
}

/** When the agent left the last call (Unix ms; undefined if only the fact is known), and the campaign of the call if it is known. */
export type CallEnd = { readonly leftMs: number | undefined; readonly campaign: string | undefined }

/** Derives from the states of an agent whether, and when, its last call ended. The call may be one that is not shown. */
export function findEnd({ fields, states }: Pick<CallFacts, 'fields' | 'states'>): CallEnd | 'doubt' | 'open' {
  const call = fields.get('call_stamp') ?? ''
  const isOwn = ({ stamp }: { readonly stamp: string }) => sourceOf(stamp) === sourceOf(call)
  const turns = toTurns(fields.get('turns') ?? '').filter(isOwn)
  const after = turns.filter(({ stamp }) => isAfter(stamp, call))
  const ends = after.filter(({ kind }) => kind !== 'busy')
  // There have been more turns since the call than are kept: its end is among the dropped turns.
  if (after.length >= MAX_TURNS) return { leftMs: undefined, campaign: undefined }
  const campaign = fields.get('call_campaign') || inferCampaign(turns, states.filter(isOwn), call)
  // Diallers before 1.3.0 name no campaign in a status either.
  const own = ends.find((end) => end.campaign === '' || end.campaign === campaign)
  if (own !== undefined) return { leftMs: msOf(own.stamp), campaign: own.campaign }
  if (campaign !== undefined || ends.length === 0) return 'open'
  if (states.filter(isOwn).some((state) => mayHold(state, call))) return 'doubt'
  return { leftMs: Math.max(...ends.map(({ stamp }) => msOf(stamp))), campaign }
}

/** Returns whether the agent may have the call in the campaign of this state. */
function mayHold({ stamp, status }: HeldState, call: string): boolean {
  return isAfter(stamp, call) ? !ENDS.has(status) : !NOT_LOGGED_IN.has(status)
}

/** Infers the campaign in which the agent became busy with the call. Returns undefined if it cannot be inferred. */
function inferCampaign(turns: readonly Turn[], states: readonly HeldState[], call: string): string | undefined {
  const callMs = msOf(call)
  const distance = ({ stamp }: Turn) => Math.abs(msOf(stamp) - callMs)
  const isOverBefore = (busy: Turn) =>
    turns.some(
      ({ kind, campaign, stamp }) =>
        kind !== 'busy' && campaign === busy.campaign && isNewer(stamp, busy.stamp) && !isAfter(stamp, call),
    )
  const busy = turns.filter(({ kind, stamp }) => kind === 'busy' && stamp !== call)
  const [nearest] = busy
    .filter((one) => distance(one) <= MAX_DISTANCE_MS && (isAfter(one.stamp, call) || !isOverBefore(one)))
    .toSorted((a, b) => distance(a) - distance(b))
  // Otherwise the first turn after the call. A `wrapup` always follows a call, so its `busy` was lost.
  const later = nearest ?? turns.find(({ kind, stamp }) => kind !== 'none' && isAfter(stamp, call))
  // Otherwise the campaign in which the agent was already busy, and still is: the call was transferred, or nobody waited for it.
  return (later ?? states.find(({ status, stamp }) => status === 'busy' && !isAfter(stamp, call)))?.campaign
}

function toTurns(text: string): Turn[] {
  return parseEntries(text).map((entry) => {
    const [kind, campaign = '', stamp = ''] = entry.split(SEPARATOR)
    return { kind: kind as Turn['kind'], campaign, stamp }
  })
}

function isAfter(stamp: string, call: string): boolean {
  const [, transport] = stamp.split('|')
  const [, callTransport] = call.split('|')
  return transport === callTransport ? isNewer(stamp, call) : msOf(stamp) - msOf(call) > MAX_CROSSING_MS
}
