import type { AuditPage, AuditRecord, Replay, ReplayDetail, ReplayMessage, ReplaysPage } from '../../answers/index.ts'
import { parseDocument, parseEntries } from '../document.ts'
import { FOUND_ALL, type StoredReplay } from '../effects/operator-effects.ts'
import type { ParkedQuery } from '../effects/park-effects.ts'
import { StoreError } from '../store-errors.ts'
import {
  afterSeparator,
  clampLimit,
  formatCursor,
  keptSince,
  type PageRequest,
  parseCursor,
  readByTime,
  type ReadOptions,
  readPage,
  toPlace,
} from './list-pages.ts'

/** A page of the messages of a replay. */
export type ReplayMessagesRequest = PageRequest & {
  readonly outcome?: ReplayMessage['outcome'] | undefined
}

export async function readReplays(
  { upstash, prefix, now }: ReadOptions,
  { cursor, limit }: PageRequest = {},
): Promise<ReplaysPage> {
  return readPage<Replay>(readByTime(upstash, { key: `${prefix}replays`, behind: toPlace(cursor), limit }), {
    limit,
    readRecords: async (places) => {
      const texts = await upstash.readTexts(places.map(({ id }) => `${prefix}replay:${id}`))
      return texts.map((text, at) => toProgress(places[at]?.id ?? '', text, now())?.replay)
    },
  })
}

export async function readReplay({ upstash, prefix, now }: ReadOptions, id: string): Promise<ReplayProgress | null> {
  const [text] = await upstash.readTexts([`${prefix}replay:${id}`])
  return toProgress(id, text, now()) ?? null
}

/** Maximum number of replays that a relay examines in one request. */
const MAX_DRIVEN = 100

/** Reads the replays that relays drive, oldest first. Finished replays and expired ones (null) are included until they are removed. */
export async function readReplaysOfRelays({
  upstash,
  prefix,
  now,
}: ReadOptions): Promise<{ readonly id: string; readonly progress: ReplayProgress | null }[]> {
  const [reply] = await upstash.readAll([['ZRANGE', `${prefix}replays_of_relays`, '0', String(MAX_DRIVEN - 1)]])
  const ids = reply as string[]
  const texts = ids.length === 0 ? [] : await upstash.readTexts(ids.map((id) => `${prefix}replay:${id}`))
  return ids.map((id, at) => ({ id, progress: toProgress(id, texts[at], now()) ?? null }))
}

/** Returns the entries of a replay, among these, that have no outcome. */
export async function readOpenEntries(
  { upstash, prefix }: ReadOptions,
  job: string,
  ids: readonly string[],
): Promise<string[]> {
  const texts = ids.length === 0 ? [] : await upstash.readTexts(ids.map((id) => `${prefix}outcome:${job}:${id}`))
  return ids.filter((_, at) => !parseDocument(texts[at]).has('is'))
}

const toTime = (ms: number | undefined) => (ms === undefined ? undefined : new Date(ms).toISOString())

/** Converts a filter into the form of the request. */
const toShown = ({ sinceMs, untilMs, ...filter }: ParkedQuery): Replay['filter'] => ({
  ...filter,
  since: toTime(sinceMs),
  until: toTime(untilMs),
})

const toShownCdrs = ({ route, fromMs, toMs, campaign, agent, endReason }: CdrsOfReplay): Replay['cdrs'] => ({
  route,
  from: toTime(fromMs),
  to: toTime(toMs),
  campaign,
  agent,
  end_reason: endReason,
})

type CdrsOfReplay = NonNullable<StoredReplay['cdrs']>

/** A replay with the state from which its steps continue. */
export type ReplayProgress = {
  readonly replay: Replay
  /** The filter of its entries; null if the request contained ids. */
  readonly filter: ParkedQuery | null
  /** The CDRs to send instead of parked entries. */
  readonly cdrs: CdrsOfReplay | null
  /** The number of entries found, and how many of them were taken, in order. */
  readonly queued: { readonly selected: number; readonly taken: number }
  /** The place from which the search for entries continues; null when all are found. */
  readonly place: string | null
  /** The entries that are being sent, and the number of their round. */
  readonly sending: readonly string[]
  readonly round: string
  /** Whether it has, or may still find, entries to send. */
  readonly isOpen: boolean
  /** Whether relays drive it; the relay that does, and until when no other relay may (Unix ms). */
  readonly isOfRelays: boolean
  readonly driver: string | undefined
  readonly drivenUntilMs: number
  /** How many steps it has taken, and the time of the last one (Unix ms). */
  readonly steps: number
  readonly atMs: number
}

function toProgress(id: string, text: unknown, nowMs: number): ReplayProgress | undefined {
  const fields = parseDocument(text)
  const json = fields.get('json')
  if (json === undefined) return undefined
  const count = (name: string) => Number(fields.get(name) ?? 0)
  const place = fields.get('place') ?? ''
  const [waiting, sent] = [count('selected') - count('taken'), count('sent')]
  const isDone = place === FOUND_ALL && waiting === 0 && sent === 0
  const isStopped = fields.has('stopped')
  const { filter, cdrs, by, ...stored } = JSON.parse(json) as StoredReplay
  const sending = parseEntries(fields.get('sending'))
  const isOpen = sending.length > 0 || place !== FOUND_ALL || waiting > 0
  const isWaiting = by === 'relay' && isOpen && !isStopped && count('driven_until') <= nowMs
  const replay: Replay = {
    id,
    // A replay that was stopped before it found an entry is not done.
    state: isDone && !(isStopped && count('selected') === 0) ? 'done' : isStopped ? 'stopped' : 'running',
    waits_for: isWaiting ? 'relay' : null,
    ...stored,
    relay: stored.relay ?? 0,
    filter: filter && toShown(filter),
    cdrs: cdrs === undefined ? null : toShownCdrs(cdrs),
    counts: {
      waiting,
      sent,
      handled: count('handled'),
      failed_again: count('failed_again'),
      skipped: count('skipped'),
    },
  }
  return {
    replay,
    filter,
    cdrs: cdrs ?? null,
    queued: { selected: count('selected'), taken: count('taken') },
    place: place === FOUND_ALL ? null : place,
    sending,
    isOpen,
    isOfRelays: by === 'relay',
    driver: fields.get('driver'),
    drivenUntilMs: count('driven_until'),
    round: fields.get('round') ?? '',
    steps: count('steps'),
    atMs: count('at'),
  }
}

/** How many pages of messages are examined for one page: few of them may have the outcome. */
const MAX_SCANNED_PAGES = 10

/** Reads a replay with the outcomes of its messages, in order. Returns null for an unknown replay. */
export async function readReplayDetail(
  options: ReadOptions,
  id: string,
  { cursor, limit: asked, outcome }: ReplayMessagesRequest = {},
): Promise<ReplayDetail | null> {
  const [from, limit] = [cursor === undefined ? 0 : parseIndex(cursor), clampLimit(asked)]
  const progress = await readReplay(options, id)
  if (progress === null) return null
  const { selected } = progress.queued
  const items: ReplayMessage[] = []
  let at = from
  // After an interrupted step, the list may hold more entries than the replay counts.
  for (const end = from + MAX_SCANNED_PAGES * limit; at < Math.min(selected, end) && items.length < limit;) {
    const found = await readMessages(options, id, progress, at, Math.min(at + limit, selected))
    const left = limit - items.length
    const fitting = found.flatMap((message, place) =>
      outcome === undefined || message.outcome === outcome ? [{ message, place }] : [],
    )
    items.push(...fitting.slice(0, left).map(({ message }) => message))
    at = fitting.length > left ? at + (fitting[left]?.place ?? 0) : Math.min(at + limit, selected)
  }
  return { ...progress.replay, messages: { items, next: at < selected ? formatCursor([at]) : null } }
}

/** Reads the messages of a replay from one place to another (exclusive). */
async function readMessages(
  { upstash, prefix }: ReadOptions,
  id: string,
  { queued: { taken } }: ReplayProgress,
  from: number,
  to: number,
): Promise<ReplayMessage[]> {
  const [reply] = await upstash.readAll([['LRANGE', `${prefix}replay_entries:${id}`, String(from), String(to - 1)]])
  const ids = reply as string[]
  const texts = await upstash.readTexts(ids.map((entry) => `${prefix}outcome:${id}:${entry}`))
  return ids.map((entry, at) => {
    const fields = parseDocument(texts[at])
    const outcome = fields.get('is') as 'handled' | 'failed_again' | 'skipped' | undefined
    return {
      id: entry,
      outcome: outcome ?? (from + at < taken ? 'sent' : 'waiting'),
      reason: fields.get('why') || null,
    }
  })
}

function parseIndex(cursor: string): number {
  const [index] = parseCursor(cursor, 1)
  if (Number.isInteger(index) && Number(index) >= 0) return Number(index)
  throw new StoreError('store.cursor.invalid', 'the cursor was not returned by this API')
}

/** Reads a page of the audit log, the latest line first. */
export async function readAudit(options: ReadOptions, { cursor, limit }: PageRequest = {}): Promise<AuditPage> {
  const places = readByTime(options.upstash, {
    key: `${options.prefix}audit`,
    fromMs: keptSince(options, 'audit'),
    behind: toPlace(cursor),
    limit,
  })
  // The members of the sorted set are the records.
  return readPage<AuditRecord>(places, {
    limit,
    readRecords: (found) => Promise.resolve(found.map(({ id }) => JSON.parse(afterSeparator(id)) as AuditRecord)),
  })
}
