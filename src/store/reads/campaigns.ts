import type { Callee, Campaign, CampaignDetail, HourCount, Page, PageRequest, Preview, StateChange } from '../types.ts'
import { readParts } from './parts.ts'
import { clampLimit, readNames, toMap, toTexts, type ReadOptions } from './replies.ts'
import { statsCommands, toStats } from './stats.ts'

const toCampaign = (ref: string, fields: Map<string, string>): Campaign => ({
  ref,
  status: fields.get('status') ?? null,
  since: fields.get('since') ?? null,
  source: fields.get('source') ?? null,
})

/** A page of campaigns by reference. */
export async function readCampaigns(options: ReadOptions, { cursor, limit }: PageRequest = {}): Promise<Page<Campaign>> {
  const { upstash, prefix } = options
  const names = await readNames(options, `${prefix}campaigns`, cursor, clampLimit(limit))
  const hashes = await upstash.readAll(names.items.map((ref) => ['HGETALL', `${prefix}campaign:${ref}`]))
  return { items: names.items.map((ref, index) => toCampaign(ref, toMap(hashes[index]))), next: names.next }
}

/** All diallers. */
export async function readDialers({ upstash, prefix }: ReadOptions): Promise<Campaign[]> {
  const [reply] = await upstash.readAll([['ZRANGE', `${prefix}dialers`, '0', '-1']])
  const names = toTexts(reply)
  const hashes = await upstash.readAll(names.map((ref) => ['HGETALL', `${prefix}dialer:${ref}`]))
  return names.map((ref, index) => toCampaign(ref, toMap(hashes[index])))
}

/** One campaign with history, preview, stats and counters; null when nothing is known of it. */
export async function readCampaign(options: ReadOptions, ref: string): Promise<CampaignDetail | null> {
  const { upstash, prefix } = options
  const [registered, hash, history, preview, counts, ...stats] = await upstash.readAll([
    ['ZSCORE', `${prefix}campaigns`, ref],
    ['HGETALL', `${prefix}campaign:${ref}`],
    ['ZREVRANGE', `${prefix}campaign_history:${ref}`, '0', '-1'],
    ['HGETALL', `${prefix}preview:${ref}`],
    ['HGETALL', `${prefix}counts:${ref}`],
    ...statsCommands(prefix, 'campaign', ref),
  ])
  if (registered === null) return null
  return {
    ...toCampaign(ref, toMap(hash)),
    history: toTexts(history).map((text) => JSON.parse(text) as StateChange),
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
