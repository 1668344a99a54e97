import type { Callee, Campaign, CampaignDetail, CampaignsPage, Preview, StateChange } from '../../answers/index.ts'
import { parseDocument, parseEntries, toName } from '../document.ts'
import { readAllAgents, toAgent } from './agent-reads.ts'
import { dayOf, daysSince, figuresKey, readQuarters, toHourCounts, toToday } from './figures.ts'
import { type GapMarks, gapsKey, readStats, statsKey, toGapMarks } from './latest-reads.ts'
import {
  afterSeparator,
  clampLimit,
  countBy,
  keptSince,
  type Named,
  newestFirst,
  type PageRequest,
  readNames,
  type ReadOptions,
  readParts,
  readReferences,
  toTexts,
} from './list-pages.ts'

type Of = 'campaign' | 'dialer'

export const toCampaign = (of: Of, ref: string, fields: ReadonlyMap<string, string>, gaps: GapMarks): Campaign => ({
  ref,
  status: fields.get('status') ?? null,
  since: fields.get('since') ?? null,
  source: fields.get('source') ?? null,
  unsure: gaps.coverState(fields.get('stamp') ?? '', `${of}s-status`),
})

/** Reads a page of campaigns by reference, with their figures of today. */
export async function readCampaigns(options: ReadOptions, { cursor, limit }: PageRequest = {}): Promise<CampaignsPage> {
  const { upstash, prefix, timeZone, now } = options
  const names = await readNames(options, `${prefix}campaigns`, cursor, clampLimit(limit))
  const today = dayOf(timeZone, now())
  const days = daysSince(today.fromMs, now())
  const keys = names.items.flatMap(({ name }) => days.map((day) => figuresKey(prefix, name, day)))
  const [states, figures, { agents }] = await Promise.all([
    readStates(options, 'campaign', names.items),
    upstash.readTexts(keys),
    readAllAgents(options),
  ])
  const byCampaign = Map.groupBy(
    agents.flatMap((agent) => agent.states),
    (state) => state.campaign_ref,
  )
  const items = states.map((state, index) => {
    const own = figures.slice(index * days.length, (index + 1) * days.length)
    return {
      ...state,
      today: toToday(readQuarters(days, own), today),
      agents: countBy((byCampaign.get(state.ref) ?? []).map(({ status }) => status)),
    }
  })
  return { items, next: names.next }
}

/** Reads all diallers. */
export async function readDialers(options: ReadOptions): Promise<Campaign[]> {
  const { upstash, prefix } = options
  const [reply] = await upstash.readAll([['ZRANGE', `${prefix}dialers`, '0', '-1']])
  return readStates(options, 'dialer', await readReferences(options, toTexts(reply)))
}

async function readStates({ upstash, prefix }: ReadOptions, of: Of, refs: readonly Named[]): Promise<Campaign[]> {
  const [gaps, ...texts] = await upstash.readTexts([
    gapsKey(prefix),
    ...refs.map(({ name }) => `${prefix}${of}:${name}`),
  ])
  const marks = toGapMarks(gaps)
  return refs.map(({ ref }, index) => toCampaign(of, ref, parseDocument(texts[index]), marks))
}

/** Reads a campaign with its history, stats, today's figures and counts. Returns null for an unknown campaign. */
export async function readCampaign(options: ReadOptions, ref: string): Promise<CampaignDetail | null> {
  const { upstash, prefix } = options
  const name = await toName(ref)
  const since = keptSince(options, 'cdr')
  const days = daysSince(since, options.now())
  const [registered, reply] = await upstash.readAll([
    ['ZSCORE', `${prefix}campaigns`, name],
    [
      'MGET',
      gapsKey(prefix),
      `${prefix}campaign:${name}`,
      `${prefix}campaign_history:${name}`,
      statsKey(prefix, 'campaign', name),
      ...days.map((day) => figuresKey(prefix, name, day)),
    ],
  ])
  if (registered === null) return null
  const [gaps, text, history, stats, ...figures] = reply as unknown[]
  const quarters = readQuarters(days, figures)
  return {
    ...toCampaign('campaign', ref, parseDocument(text), toGapMarks(gaps)),
    today: toToday(quarters, dayOf(options.timeZone, options.now())),
    history: newestFirst(parseEntries(history)).map((entry) => JSON.parse(afterSeparator(entry)) as StateChange),
    stats: await readStats(options, 'campaign', name, stats),
    counts: toHourCounts(quarters, since),
  }
}

/** Reads the contacts that will be dialled next in a campaign. Returns null if the dialler has sent no list recently. */
export async function readPreview(options: ReadOptions, ref: string): Promise<Preview | null> {
  const { upstash, prefix } = options
  const [document] = await upstash.readTexts([`${prefix}preview:${await toName(ref)}`])
  const fields = parseDocument(document)
  const id = fields.get('id')
  if (id === undefined) return null
  // The parts are missing if a newer list has just arrived, or if the list has expired.
  const [text = null] = await readParts(options, 'preview', [{ id, parts: Number(fields.get('parts')) }])
  return text === null ? null : { at: fields.get('at') ?? '', callees: JSON.parse(text) as Callee[] }
}

/** Reads the states of an agent in its campaigns, or the state of a campaign. Returns none if no state was heard. */
export async function readPresentStates(
  options: ReadOptions,
  of: 'agents' | 'campaigns',
  ref: string,
): Promise<PresentState[]> {
  const { upstash, prefix } = options
  const document = `${prefix}${of === 'agents' ? 'agent' : 'campaign'}:${await toName(ref)}`
  const [gaps, text] = await upstash.readTexts([gapsKey(prefix), document])
  const [fields, marks] = [parseDocument(text), toGapMarks(gaps)]
  if (of === 'agents')
    return toAgent(options, ref, fields, marks).states.map(
      ({ unexpected: _, unexpected_count: __, ...state }): PresentState => state,
    )
  const { status, since, source, unsure } = toCampaign('campaign', ref, fields, marks)
  if (status === null || since === null || source === null) return []
  return [{ source, campaign_ref: null, status, since, unsure }]
}

/** The current state of an agent or a campaign. */
export type PresentState = {
  readonly source: string
  /** The campaign of an agent's state; null for a campaign's own state. */
  readonly campaign_ref: string | null
  readonly status: string
  /** When this state was first heard. ISO 8601. */
  readonly since: string
  readonly unsure: boolean
}
