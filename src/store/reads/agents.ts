import type { Agent, AgentDetail, AgentsPage, AgentState, Call } from '../../answers/index.ts'
import type { AgentFilter } from '../types.ts'
import { parseDocument, parseEntries, SEPARATOR, toName } from '../document.ts'
import { judgeCall } from './current-call.ts'
import { gapsKey, toGapMarks, type GapMarks, readStats, statsKey } from './states.ts'
import {
  afterSeparator,
  clampLimit,
  countBy,
  formatCursor,
  newestFirst,
  parseName,
  readNames,
  readReferences,
  toTexts,
  type Named,
  type ReadOptions,
} from './replies.ts'

/** The rank of a stale call, as its effect has it. */
const STALE = '0'

/** A page of agents by reference, each with its states and its current call. Where something is filtered or counted, all are read. */
export async function readAgents(options: ReadOptions, filter: AgentFilter = {}): Promise<AgentsPage> {
  const { upstash, prefix } = options
  const { cursor, limit: asked, campaign, status, unsure, counts: isCounted = false } = filter
  const limit = clampLimit(asked)
  if (campaign === undefined && status === undefined && unsure === undefined && !isCounted) {
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

/** The references of all agents, in the order of their names in keys. */
export async function readAllNames(options: ReadOptions): Promise<Named[]> {
  const [all] = await options.upstash.readAll([['ZRANGE', `${options.prefix}agents`, '0', '-1']])
  return readReferences(options, toTexts(all))
}

/** All agents, in the order of their names in keys. */
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

/** One agent with its latest calls and stats; null when nothing is known of it. */
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
    calls: newestFirst(parseEntries(calls)).map(toCall),
    stats: await readStats(options, 'agent', name, stats),
  }
  return fields.size === 0 && detail.calls.length === 0 && detail.stats.length === 0 ? null : detail
}

function toCall(entry: string): Call {
  const [, , , , , rank = ''] = entry.split(SEPARATOR)
  const call = JSON.parse(afterSeparator(entry)) as Omit<Call, 'stale'>
  return { ...call, stale: rank === STALE }
}

/** The states in an agent's document. `own`: the name of each there. */
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
  const held = toStates(fields)
  const states = held.map(({ own, status, since, stamp, campaign }): AgentState => {
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
  const judged = judgeCall({ fields, states: held, nowMs: now(), limitMs: callLimitSeconds * 1000 })
  const json = fields.get('call_json')
  if (judged === 'over' || json === undefined) return { ref, states, call: null, call_unsure: false }
  const call = { ...(JSON.parse(json) as Omit<Call, 'stale'>), stale: false }
  return { ref, states, call, call_unsure: judged === 'doubt' || gaps.coverCall(fields.get('call_stamp') ?? '') }
}
