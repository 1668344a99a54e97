import type { Callee, Campaign, CampaignDetail, HourCount, Page, PageRequest, Preview, StateChange } from '../types.ts'
import { gapsCommand, toGapMarks, type GapMarks } from './gap-marks.ts'
import { readParts } from './parts.ts'
import { afterSeparator, clampLimit, readNames, toMap, toTexts, type ReadOptions } from './replies.ts'
import { statsCommands, toStats } from './stats.ts'

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
  return readStates(options, 'dialer', toTexts(reply))
}

async function readStates({ upstash, prefix }: ReadOptions, of: Of, refs: readonly string[]): Promise<Campaign[]> {
  const [gaps, ...hashes] = await upstash.readAll([
    gapsCommand(prefix),
    ...refs.map((ref) => ['HGETALL', `${prefix}${of}:${ref}`]),
  ])
  const marks = toGapMarks(gaps)
  return refs.map((ref, index) => toCampaign(of, ref, toMap(hashes[index]), marks))
}

/** One campaign with history, preview, stats and counters; null when nothing is known of it. */
export async function readCampaign(options: ReadOptions, ref: string): Promise<CampaignDetail | null> {
  const { upstash, prefix } = options
  const [gaps, registered, hash, history, preview, counts, ...stats] = await upstash.readAll([
    gapsCommand(prefix),
    ['ZSCORE', `${prefix}campaigns`, ref],
    ['HGETALL', `${prefix}campaign:${ref}`],
    ['ZREVRANGE', `${prefix}campaign_history:${ref}`, '0', '-1'],
    ['HGETALL', `${prefix}preview:${ref}`],
    ['HGETALL', `${prefix}counts:${ref}`],
    ...statsCommands(prefix, 'campaign', ref),
  ])
  if (registered === null) return null
  return {
    ...toCampaign('campaign', ref, toMap(hash), toGapMarks(gaps)),
    history: toTexts(history).map((text) => JSON.parse(afterSeparator(text)) as StateChange),
    preview: await readPreview(options, toMap(preview)),
    stats: toStats(stats),
    counts: toCounts(toMap(counts)),
  }
}

async function readPreview(options: ReadOptions, fields: Map<string, string>): Promise<Preview | null> {
  const id = fields.get('id')
  if (id === undefined) return null
  // Its parts are gone when a newer one has just come, or when it has run out.
  const [text = null] = await readParts(options, 'preview', [{ id, parts: Number(fields.get('parts')) }])
  return text === null ? null : { at: fields.get('at') ?? '', callees: JSON.parse(text) as Callee[] }
}

function toCounts(fields: Map<string, string>): HourCount[] {
  return [...fields]
    .map(([field, count]) => {
      const bar = field.indexOf('|')
      return { hour: field.slice(0, bar), end_reason: field.slice(bar + 1), count: Number(count) }
    })
    .toSorted((a, b) => (a.hour === b.hour ? (a.end_reason < b.end_reason ? -1 : 1) : a.hour < b.hour ? -1 : 1))
}
