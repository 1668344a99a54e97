import type { Kind, KindValue, OtherPage, OtherRecord, Stats, StatsPoint } from '../../answers/index.ts'
import { isNewer, parseDocument, parseEntries, SEPARATOR, toName } from '../document.ts'
import {
  afterSeparator,
  type PageRequest,
  type Place,
  readByTime,
  type ReadOptions,
  readPage,
  readParts,
  toMap,
  toPlace,
  toTexts,
} from './list-pages.ts'

/** Decides which states are older than a Pub/Sub gap, and may therefore have changed unheard. */
export type GapMarks = {
  /**
   * Returns whether a gap covers a state with this stamp, which arrived through this route. A state that came by a list is never unsure,
   * because lists lose nothing.
   */
  coverState: (stamp: string, route: string) => boolean
  /** Returns whether a gap covers a current call with this stamp. Pub/Sub reports the end of a call, whichever way the call itself came. */
  coverCall: (stamp: string) => boolean
}

/** The key, without its prefix, of the document with the latest gap of each source. */
export const GAPS = 'gap_latest'
export const gapsKey = (prefix: string): string => prefix + GAPS

/**
 * Parses the document under `gapsKey`. Its fields are sources, or source and route if only that route lost notifications; its values are
 * `sequence|unix ms`.
 */
export function toGapMarks(text: unknown): GapMarks {
  const latest = parseDocument(text)
  const isBefore = (stamp: string, fields: (source: string) => string[]) => {
    const [source = '', transport, sequence = '', ms = ''] = stamp.split('|')
    return fields(source).some((field) => {
      const [gapSequence = '', gapMs = ''] = latest.get(field)?.split('|') ?? []
      return transport === 'pubsub' ? sequence < gapSequence : Number(ms) < Number(gapMs)
    })
  }
  return {
    coverState: (stamp, route) =>
      stamp !== '' && stamp.split('|')[1] !== 'list' && isBefore(stamp, (source) => [source, `${source}|${route}`]),
    coverCall: (stamp) => isBefore(stamp, (source) => [source, `${source}|agents-status`, `${source}|agents-call`]),
  }
}

/** Maximum number of points in a series. The stored list may be twice as long before it is trimmed. */
const MAX_POINTS = 120

/** Returns the key of the document with the latest values of each series. */
export const statsKey = (prefix: string, of: 'agent' | 'campaign', name: string): string =>
  `${prefix}${of}_stats:${name}`

/**
 * Reads the stats of each source and campaign, with their series. Sends one more request if there are any.
 *
 * @param text of the document under `statsKey`
 */
export async function readStats(
  { upstash, prefix }: ReadOptions,
  of: 'agent' | 'campaign',
  name: string,
  text: unknown,
): Promise<Stats[]> {
  const latest = [...parseDocument(text)].flatMap(([field, value]) =>
    field.startsWith('s:') ? [[field.slice(2), value] as const] : [],
  )
  const series = await upstash.readAll(
    latest.map(([own]) => ['LRANGE', `${prefix}${of}_series:${name}|${own}`, String(-MAX_POINTS), '-1']),
  )
  return latest
    .map(([, value], index): Stats => {
      const [, at = '', resets, source = '', campaign = '', , values = '{}'] = value.split(SEPARATOR)
      return {
        source,
        campaign_ref: campaign === '' ? null : campaign,
        at,
        values: JSON.parse(values) as Record<string, number>,
        resets: Number(resets),
        series: toTexts(series[index]).map(toPoint),
      }
    })
    .toSorted((a, b) => (`${a.campaign_ref ?? ''} ${a.source}` < `${b.campaign_ref ?? ''} ${b.source}` ? -1 : 1))
}

function toPoint(text: string): StatsPoint {
  const [at = '', reset, values = '{}'] = text.split(SEPARATOR)
  return { at, values: JSON.parse(values) as Record<string, number>, reset: reset === '1' }
}

/** Reads the latest values of a reference, of any kind. Returns null if there are none. */
export async function readKind(
  { upstash, prefix }: ReadOptions,
  type: string,
  subType: string,
  ref: string,
): Promise<Kind | null> {
  const [kind, name] = await Promise.all([toName(`${type}/${subType}`), toName(ref)])
  const [gaps, list] = await upstash.readTexts([gapsKey(prefix), `${prefix}kind:${kind}:${name}`])
  const values = parseEntries(list)
    .map((entry) => {
      const [, , stamp = '', stale] = entry.split(SEPARATOR, 4)
      const value = JSON.parse(afterSeparator(entry)) as Omit<KindValue, 'stale'>
      return { stamp, value: { ...value, stale: stale === '1' } }
    })
    .toSorted((one, other) => (isNewer(one.stamp, other.stamp) ? -1 : 1))
  const [latest, ...before] = values
  if (latest === undefined) return null
  return {
    ref,
    unsure: toGapMarks(gaps).coverState(latest.stamp, `${type}-${subType}`),
    latest: latest.value,
    history: before.map(({ value }) => value),
  }
}

type StoredOther = Omit<OtherRecord, 'text' | 'base64'> & { readonly parts: number; readonly form: 'text' | 'base64' }

/** Reads a page of notifications without a route, newest first, and their number by type. */
export async function readOther(options: ReadOptions, { cursor, limit }: PageRequest = {}): Promise<OtherPage> {
  const { upstash, prefix } = options
  const readRecords = (found: readonly Place[]) => readStored(options, found)
  const places = readByTime(upstash, { key: `${prefix}other`, behind: toPlace(cursor), limit })
  const page = await readPage<StoredOther>(places, { limit, readRecords })
  const [counts] = await upstash.readAll([['HGETALL', `${prefix}other_counts`]])
  const bytes = await readParts(
    options,
    'other',
    page.items.map(({ notification_id: id, parts }) => ({ id, parts })),
  )
  const items = page.items.map(({ parts: _, form, ...record }, index) => {
    const data = bytes[index] ?? null
    return { ...record, text: form === 'text' ? data : null, base64: form === 'base64' ? data : null }
  })
  return {
    items,
    next: page.next,
    counts: Object.fromEntries([...toMap(counts)].map(([type, number]) => [type, Number(number)])),
  }
}

async function readStored(
  { upstash, prefix }: ReadOptions,
  places: readonly Place[],
): Promise<(StoredOther | undefined)[]> {
  const values = await upstash.readTexts(places.map(({ id }) => `${prefix}other_record:${id}`))
  // The value begins with the number of its parts, before the separator.
  return values.map((value) =>
    value === null
      ? undefined
      : { ...(JSON.parse(afterSeparator(value)) as Omit<StoredOther, 'parts'>), parts: Number.parseInt(value, 10) },
  )
}
