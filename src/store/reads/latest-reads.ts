import type { OtherRecord, OtherPage, Kind, KindValue, Stats, StatsPoint } from '../../answers/index.ts'
import { readParts, toPlace, readPage, readByTime, type Place, type PageRequest, afterSeparator, type ReadOptions, toTexts } from './list-pages.ts'
import { isNewer, parseDocument, parseEntries, SEPARATOR, toName } from '../document.ts'

/** Tells which state is from before a gap of PubSub, and so may have changed unheard. */
export type GapMarks = {
  /** A state with this stamp, which the given route feeds. A state that came by a list is never unsure: a list loses nothing. */
  coverState: (stamp: string, route: string) => boolean
  /** A current call with this stamp. That it ended is told by PubSub too, however it came itself. */
  coverCall: (stamp: string) => boolean
}

/** The document of the greatest gap of each source: its key without the prefix. */
export const GAPS = 'gap_latest'
export const gapsKey = (prefix: string): string => prefix + GAPS

/** Of the document under `gapsKey`: by source, or by source and route where only that was given up: `sequence|unix ms`. */
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

/** As many points as a series has at most; the list of them may be twice as long before it is cut. */
const MAX_POINTS = 120

/** The document of the latest values of each series. */
export const statsKey = (prefix: string, of: 'agent' | 'campaign', name: string): string =>
  `${prefix}${of}_stats:${name}`

/** The stats of each source and campaign, with their series: one request more where there are any. @param text of the document under `statsKey` */
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

/** The latest values of a reference of any kind; null when there is none. */
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

/** The latest notifications without a route of their own, newest first, and how many there were of each type. */
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

async function readStored({ upstash, prefix }: ReadOptions, places: readonly Place[]): Promise<(StoredOther | undefined)[]> {
  const values = await upstash.readTexts(places.map(({ id }) => `${prefix}other_record:${id}`))
  // Before the separator is how many parts there are.
  return values.map((value) =>
    value === null
      ? undefined
      : { ...(JSON.parse(afterSeparator(value)) as Omit<StoredOther, 'parts'>), parts: Number.parseInt(value, 10) },
  )
}
