import type { Callee, Campaign, CampaignDetail, Page, PageRequest, Preview, StateChange } from '../types.ts'
import { parseDocument, parseEntries } from '../document.ts'
import { toName } from '../names.ts'
import { daysSince, figuresKey, readQuarters, toHourCounts } from './figures.ts'
import { gapsKey, toGapMarks, type GapMarks } from './gap-marks.ts'
import { readParts } from './parts.ts'
import {
  afterSeparator,
  clampLimit,
  keptSince,
  newestFirst,
  readNames,
  readReferences,
  toTexts,
  type Named,
  type ReadOptions,
} from './replies.ts'
import { readStats, statsKey } from './stats.ts'

type Of = 'campaign' | 'dialer'

const toCampaign = (of: Of, ref: string, fields: Map<string, string>, gaps: GapMarks): Campaign => ({
  ref,
  status: fields.get('status') ?? null,
  since: fields.get('since') ?? null,
  source: fields.get('source') ?? null,
  unsure: gaps.coverState(fields.get('stamp') ?? '', `${of}s-status`),
})

/** A page of campaigns by reference. */
export async function readCampaigns(
  options: ReadOptions,
  { cursor, limit }: PageRequest = {},
): Promise<Page<Campaign>> {
  const names = await readNames(options, `${options.prefix}campaigns`, cursor, clampLimit(limit))
  return { items: await readStates(options, 'campaign', names.items), next: names.next }
}

/** All diallers. */
export async function readDialers(options: ReadOptions): Promise<Campaign[]> {
  const { upstash, prefix } = options
  const [reply] = await upstash.readAll([['ZRANGE', `${prefix}dialers`, '0', '-1']])
  return readStates(options, 'dialer', await readReferences(options, toTexts(reply)))
}

async function readStates({ upstash, prefix }: ReadOptions, of: Of, refs: readonly Named[]): Promise<Campaign[]> {
  const [reply] = await upstash.readAll([
    ['MGET', gapsKey(prefix), ...refs.map(({ name }) => `${prefix}${of}:${name}`)],
  ])
  const [gaps, ...texts] = reply as unknown[]
  const marks = toGapMarks(gaps)
  return refs.map(({ ref }, index) => toCampaign(of, ref, parseDocument(texts[index]), marks))
}

/** One campaign with history, preview, stats and counters; null when nothing is known of it. */
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
      `${prefix}preview:${name}`,
      statsKey(prefix, 'campaign', name),
      ...days.map((day) => figuresKey(prefix, name, day)),
    ],
  ])
  if (registered === null) return null
  const [gaps, text, history, preview, stats, ...figures] = reply as unknown[]
  return {
    ...toCampaign('campaign', ref, parseDocument(text), toGapMarks(gaps)),
    history: newestFirst(parseEntries(history)).map((text) => JSON.parse(afterSeparator(text)) as StateChange),
    preview: await readPreview(options, parseDocument(preview)),
    stats: await readStats(options, 'campaign', name, stats),
    counts: toHourCounts(readQuarters(days, figures), since),
  }
}

async function readPreview(options: ReadOptions, fields: Map<string, string>): Promise<Preview | null> {
  const id = fields.get('id')
  if (id === undefined) return null
  // Its parts are gone when a newer one has just come, or when it has run out.
  const [text = null] = await readParts(options, 'preview', [{ id, parts: Number(fields.get('parts')) }])
  return text === null ? null : { at: fields.get('at') ?? '', callees: JSON.parse(text) as Callee[] }
}
