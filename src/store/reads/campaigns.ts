import type { Callee, Campaign, CampaignDetail, HourCount, Page, PageRequest, Preview, StateChange } from '../types.ts'
import { toName } from '../names.ts'
import { gapsCommand, toGapMarks, type GapMarks } from './gap-marks.ts'
import { readParts } from './parts.ts'
import {
  afterSeparator,
  clampLimit,
  newestFirst,
  readNames,
  readReferences,
  toMap,
  toTexts,
  type Named,
  type ReadOptions,
} from './replies.ts'
import { readStats, statsCommand } from './stats.ts'

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
  const [gaps, ...hashes] = await upstash.readAll([
    gapsCommand(prefix),
    ...refs.map(({ name }) => ['HGETALL', `${prefix}${of}:${name}`]),
  ])
  const marks = toGapMarks(gaps)
  return refs.map(({ ref }, index) => toCampaign(of, ref, toMap(hashes[index]), marks))
}

/** One campaign with history, preview, stats and counters; null when nothing is known of it. */
export async function readCampaign(options: ReadOptions, ref: string): Promise<CampaignDetail | null> {
  const { upstash, prefix } = options
  const name = await toName(ref)
  const [gaps, registered, hash, history, preview, counts, stats] = await upstash.readAll([
    gapsCommand(prefix),
    ['ZSCORE', `${prefix}campaigns`, name],
    ['HGETALL', `${prefix}campaign:${name}`],
    ['LRANGE', `${prefix}campaign_history:${name}`, '0', '-1'],
    ['HGETALL', `${prefix}preview:${name}`],
    ['HGETALL', `${prefix}counts:${name}`],
    statsCommand(prefix, 'campaign', name),
  ])
  if (registered === null) return null
  return {
    ...toCampaign('campaign', ref, toMap(hash), toGapMarks(gaps)),
    history: newestFirst(toTexts(history)).map((text) => JSON.parse(afterSeparator(text)) as StateChange),
    preview: await readPreview(options, toMap(preview)),
    stats: await readStats(options, 'campaign', name, stats),
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
