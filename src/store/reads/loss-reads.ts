import type { Call, GapRecord, GapsPage, MissingCdr, MissingPage, RelayRecord } from '../../answers/index.ts'
import type { HandedBy } from '../../protocol/index.ts'
import { msOf, parseDocument, parseEntries, SEPARATOR, sourceOf, toName } from '../document.ts'
import { findEnd, readAllNames, toStates } from './agent-reads.ts'
import {
  afterSeparator,
  keptSince,
  type Named,
  type PageRequest,
  readByTime,
  type ReadOptions,
  readPage,
  toPlace,
} from './list-pages.ts'

export type GapFilter = PageRequest & {
  readonly source?: string | undefined
  /** `to`, Unix ms, inclusive. */
  readonly sinceMs?: number | undefined
}

export type MissingFilter = PageRequest & {
  readonly source?: string | undefined
  readonly agent?: string | undefined
  readonly campaign?: string | undefined
}

/** A call whose CDR is due, but has not arrived. */
export type AwaitedCall = {
  /** The stamp of its notification. */
  readonly stamp: string
  /** Its reference in the form used in keys. */
  readonly callRef: string
  /** When the dialler assigned the call to the agent (Unix ms). */
  readonly handedMs: number
  readonly record: Omit<MissingCdr, 'listed_at'>
}

/** Reads a page of gaps, newest first. */
export async function readGaps(
  options: ReadOptions,
  { source, sinceMs, cursor, limit }: GapFilter = {},
): Promise<GapsPage> {
  const { upstash, prefix } = options
  const places = readByTime(upstash, {
    key: source === undefined ? `${prefix}gaps` : `${prefix}gaps_of:${await toName(source)}`,
    fromMs: Math.max(sinceMs ?? 0, keptSince(options, 'gap')),
    behind: toPlace(cursor),
    limit,
  })
  return readPage<GapRecord>(places, {
    limit,
    readRecords: async (found) => {
      const values = await upstash.readTexts(found.map(({ id }) => `${prefix}gap:${id}`))
      return values.map((json) => (json === null ? undefined : (JSON.parse(json) as GapRecord)))
    },
  })
}

/** Reads the relays that were ready within the last days, sorted by id. There are few. */
export async function readRelays({ upstash, prefix }: ReadOptions): Promise<RelayRecord[]> {
  const [text] = await upstash.readTexts([`${prefix}relays`])
  const records = [...parseDocument(text).values()].map(
    // Notices of older relays contain no lists.
    (value): RelayRecord => ({ lists: [], ...(JSON.parse(afterSeparator(value)) as Omit<RelayRecord, 'lists'>) }),
  )
  return records.toSorted((a, b) => (a.relay < b.relay ? -1 : 1))
}

/** Reads a page of calls without a CDR, the latest call first. */
export async function readMissing(
  options: ReadOptions,
  { source, agent, campaign, cursor, limit }: MissingFilter = {},
): Promise<MissingPage> {
  const { upstash, prefix } = options
  const places = readByTime(upstash, {
    key: `${prefix}missing`,
    fromMs: keptSince(options, 'missing'),
    behind: toPlace(cursor),
    limit,
  })
  return readPage<MissingCdr>(places, {
    limit,
    readRecords: async (found) => {
      const values = await upstash.readTexts(found.map(({ id }) => `${prefix}missing:${id}`))
      return values.map((json) => (json === null ? undefined : (JSON.parse(json) as MissingCdr)))
    },
    fits: (one) =>
      (source === undefined || one.source === source) &&
      (agent === undefined || one.agent === agent) &&
      (campaign === undefined || one.campaign_ref === campaign),
  })
}

/** Counts the listed calls without a CDR. */
export async function countMissing(options: ReadOptions): Promise<number> {
  const key = `${options.prefix}missing`
  const [count] = await options.upstash.readAll([['ZCOUNT', key, String(keptSince(options, 'missing')), '+inf']])
  return Number(count)
}

/**
 * A relay reports once a minute that it is ready. If no relay that consumes a list has reported for this long (ms), the CDRs wait in the
 * list.
 */
const MAX_READY_AGE_MS = 5 * 60_000

/** Agents whose documents are read in one request. A document has up to 10 kB. */
const AGENTS_PER_READ = 100

/** Maximum number of calls that one search returns; the next search finds the rest. */
const MAX_FOUND = 1_000

/**
 * Finds the calls that their agents left at least `waitMs` ago and whose CDR has not arrived, although a relay consumes the list of CDRs.
 * Reads the document of every agent, unless no relay consumes such a list.
 */
export async function findAwaited(options: ReadOptions, waitMs: number): Promise<AwaitedCall[]> {
  const { upstash, prefix, now } = options
  const [relays = null] = await upstash.readTexts([`${prefix}relays`])
  const taken = new Set(
    [...parseDocument(relays).values()].flatMap((value) => {
      const [stamp = '', takes = '', json] = value.split(SEPARATOR)
      return json === undefined || msOf(stamp) < now() - MAX_READY_AGE_MS ? [] : takes.split(',')
    }),
  )
  taken.delete('')
  if (taken.size === 0) return []
  const names = await readAllNames(options)
  const found: (Found & { readonly agent: Named })[] = []
  for (let at = 0; at < names.length && found.length < MAX_FOUND; at += AGENTS_PER_READ) {
    const some = names.slice(at, at + AGENTS_PER_READ)
    const texts = await upstash.readTexts(some.map(({ name }) => `${prefix}agent:${name}`))
    for (const [index, agent] of some.entries())
      for (const one of toFound(options, parseDocument(texts[index])))
        if (now() - Math.max(one.dueMs, one.notedMs) >= waitMs && taken.has(`${one.kind}|${sourceOf(one.stamp)}`))
          found.push({ ...one, agent })
  }
  const due = found.slice(0, MAX_FOUND)
  // The other fields of the call are usually among the agent's latest calls.
  const calls = await upstash.readTexts(due.map(({ agent }) => `${prefix}agent_calls:${agent.name}`))
  return due.map((one, index): AwaitedCall => {
    const entry = parseEntries(calls[index]).find((text) => text.split(SEPARATOR, 2)[1] === idOf(one.stamp))
    const call = entry === undefined ? undefined : (JSON.parse(afterSeparator(entry)) as Call)
    return {
      stamp: one.stamp,
      callRef: one.callRef,
      handedMs: msOf(one.stamp),
      record: {
        notification_id: idOf(one.stamp),
        source: sourceOf(one.stamp),
        call_ref: call?.call_ref ?? one.callRef,
        agent: one.agent.ref,
        campaign_ref: call?.campaign_ref ?? (one.campaign || null),
        contact_ref: call?.contact_ref ?? null,
        number: call?.number ?? null,
        direction: call?.direction ?? (one.kind === 'inbound/call' ? 'inbound' : 'outbound'),
        handed_at: new Date(msOf(one.stamp)).toISOString(),
        left_at: one.leftMs === undefined ? null : new Date(one.leftMs).toISOString(),
      },
    }
  })
}

type Found = {
  readonly stamp: string
  readonly callRef: string
  readonly campaign: string
  readonly kind: HandedBy
  readonly notedMs: number
  readonly leftMs: number | undefined
  /** When its CDR is due (Unix ms). */
  readonly dueMs: number
}

const idOf = (stamp: string): string => stamp.split('|').slice(4).join('|')

/** Parses the calls that an agent has left and whose CDR has not arrived. `lua/missing.lua` writes them. */
function toFound(options: ReadOptions, fields: ReadonlyMap<string, string>): Found[] {
  return parseEntries(fields.get('awaited')).flatMap((entry): Found[] => {
    const [stamp = '', callRef = '', , campaign = '', noted, left = '', , kind] = entry.split(SEPARATOR)
    const one = { stamp, callRef, campaign, kind: kind as HandedBy, notedMs: Number(noted) }
    if (left !== '') return [{ ...one, leftMs: Number(left), dueMs: Number(left) }]
    // The agent's current or last call.
    const facts = new Map([...fields, ['call_stamp', stamp], ['call_campaign', campaign]])
    const end = findEnd({ fields: facts, states: toStates(fields) })
    if (typeof end === 'object' && end.leftMs !== undefined)
      return [{ ...one, campaign: campaign || (end.campaign ?? ''), leftMs: end.leftMs, dueMs: end.leftMs }]
    // No state reports when the call ended. It is not shown for longer than this.
    return [{ ...one, leftMs: undefined, dueMs: msOf(stamp) + options.callLimitSeconds * 1_000 }]
  })
}
