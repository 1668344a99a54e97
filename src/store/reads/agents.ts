import type { Agent, AgentDetail, AgentState, Call, Page, PageRequest } from '../types.ts'
import { gapsCommand, toGapMarks, type GapMarks } from './gap-marks.ts'
import { afterSeparator, clampLimit, readNames, SEPARATOR, toMap, toTexts, type ReadOptions } from './replies.ts'
import { statsCommands, toStats } from './stats.ts'

/** A page of agents by reference, each with its states and its current call. */
export async function readAgents(options: ReadOptions, { cursor, limit }: PageRequest = {}): Promise<Page<Agent>> {
  const { upstash, prefix } = options
  const names = await readNames(options, `${prefix}agents`, cursor, clampLimit(limit))
  const [gaps, ...hashes] = await upstash.readAll([
    gapsCommand(prefix),
    ...names.items.map((ref) => ['HGETALL', `${prefix}agent:${ref}`]),
  ])
  const marks = toGapMarks(gaps)
  const items = names.items.map((ref, index) => toAgent(ref, toMap(hashes[index]), marks))
  return { items, next: names.next }
}

/** One agent with its latest calls and stats; null when nothing is known of it. */
export async function readAgent({ upstash, prefix }: ReadOptions, ref: string): Promise<AgentDetail | null> {
  const [gaps, hash, calls, ...stats] = await upstash.readAll([
    gapsCommand(prefix),
    ['HGETALL', `${prefix}agent:${ref}`],
    ['ZREVRANGE', `${prefix}agent_calls:${ref}`, '0', '-1'],
    ...statsCommands(prefix, 'agent', ref),
  ])
  const fields = toMap(hash)
  const detail = {
    ...toAgent(ref, fields, toGapMarks(gaps)),
    calls: toTexts(calls).map((text) => JSON.parse(afterSeparator(text)) as Call),
    stats: toStats(stats),
  }
  return fields.size === 0 && detail.calls.length === 0 && detail.stats === null ? null : detail
}

function toAgent(ref: string, fields: Map<string, string>, gaps: GapMarks): Agent {
  const states: AgentState[] = []
  for (const [field, value] of fields) {
    if (!field.startsWith('s:')) continue
    const own = field.slice(2)
    const campaign = own.slice(own.indexOf('|') + 1)
    const [status = '', since = '', stamp = ''] = value.split(SEPARATOR)
    const [from, to, at] = fields.get(`u:${own}`)?.split(SEPARATOR) ?? []
    states.push({
      source: stamp.split('|')[0] ?? '',
      campaign_ref: campaign === '' ? null : campaign,
      status,
      since,
      unexpected: from === undefined || to === undefined || at === undefined ? null : { from, to, at },
      unexpected_count: Number(fields.get(`n:${own}`) ?? 0),
      unsure: gaps.coverState(stamp, 'agents-status'),
    })
  }
  const order = ({ campaign_ref: campaign, source }: AgentState) => `${campaign ?? ''} ${source}`
  states.sort((a, b) => (order(a) < order(b) ? -1 : 1))
  const call = fields.get('call')
  if (call === undefined) return { ref, states, call: null, call_unsure: false }
  return { ref, states, call: JSON.parse(call) as Call, call_unsure: gaps.coverCall(fields.get('call_stamp') ?? '') }
}
