import { type PageRequest, readByTime, readPage, toPlace, afterSeparator, keptSince, type ReadOptions, type Named } from './list-pages.ts'
import { sourceOf, msOf, parseDocument, toName, parseEntries, SEPARATOR } from '../document.ts'
import type { GapRecord, GapsPage, RelayRecord, Call, MissingCdr, MissingPage } from '../../answers/index.ts'
import type { HandedBy } from '../../protocol/index.ts'
import { readAllNames, toStates, findEnd } from './agent-reads.ts'

export type GapFilter = PageRequest & {
  readonly source?: string | undefined
  /** `to`, unix ms, included. */
  readonly sinceMs?: number | undefined
}

export type MissingFilter = PageRequest & {
  readonly source?: string | undefined
  readonly agent?: string | undefined
  readonly campaign?: string | undefined
}

/** A call whose CDR is due and has not come. */
export type AwaitedCall = {
  /** What orders its notification. */
  readonly stamp: string
  /** Its reference as it is in keys. */
  readonly callRef: string
  /** Unix ms. */
  readonly handedMs: number
  readonly record: Omit<MissingCdr, 'listed_at'>
}

/** The spans in which PubSub was not heard, newest first. */
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

/** The relays that were ready within the last days, by their ids. There are few. */
export async function readRelays({ upstash, prefix }: ReadOptions): Promise<RelayRecord[]> {
  const [text] = await upstash.readTexts([`${prefix}relays`])
  const records = [...parseDocument(text).values()].map(
    // One of before relays said so names no lists.
    (value): RelayRecord => ({ lists: [], ...(JSON.parse(afterSeparator(value)) as Omit<RelayRecord, 'lists'>) }),
  )
  return records.toSorted((a, b) => (a.relay < b.relay ? -1 : 1))
}

/** Calls whose CDR is missing, the latest handed over first. */
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

/** How many calls are listed whose CDR is missing. */
export async function countMissing(options: ReadOptions): Promise<number> {
  const key = `${options.prefix}missing`
  const [count] = await options.upstash.readAll([['ZCOUNT', key, String(keptSince(options, 'missing')), '+inf']])
  return Number(count)
}

/** A relay says once a minute that it is ready; while none that takes a list is (ms), its CDRs wait there. */
const READY_MS = 5 * 60_000

/** Agents whose documents are asked for at once: they have up to 10 kB each. */
const AT_ONCE = 100

/** Calls that one look returns at most; the next look goes on. */
const MOST = 1_000

/**
 * The calls that their agents left at least so long (ms) ago, and whose CDR has not come, though a relay takes the list of the CDRs. Reads the
 * document of every agent, unless no relay takes such a list.
 */
export async function findAwaited(options: ReadOptions, waitMs: number): Promise<AwaitedCall[]> {
  const { upstash, prefix, now } = options
  const [relays = null] = await upstash.readTexts([`${prefix}relays`])
  const taken = new Set(
    [...parseDocument(relays).values()].flatMap((value) => {
      const [stamp = '', takes = '', json] = value.split(SEPARATOR)
      return json === undefined || msOf(stamp) < now() - READY_MS ? [] : takes.split(',')
    }),
  )
  taken.delete('')
  if (taken.size === 0) return []
  const names = await readAllNames(options)
  const found: (Found & { readonly agent: Named })[] = []
  for (let at = 0; at < names.length && found.length < MOST; at += AT_ONCE) {
    const some = names.slice(at, at + AT_ONCE)
    const texts = await upstash.readTexts(some.map(({ name }) => `${prefix}agent:${name}`))
    for (const [index, agent] of some.entries())
      for (const one of toFound(options, parseDocument(texts[index])))
        if (now() - Math.max(one.dueMs, one.notedMs) >= waitMs && taken.has(`${one.kind}|${sourceOf(one.stamp)}`))
          found.push({ ...one, agent })
  }
  const due = found.slice(0, MOST)
  // What is known of the call besides is among the agent's latest calls, as a rule.
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
  /** From when on (unix ms) its CDR is due. */
  readonly dueMs: number
}

const idOf = (stamp: string): string => stamp.split('|').slice(4).join('|')

/** The calls of an agent that it has left, and whose CDR has not come; as `lua/missing.lua` keeps them. */
function toFound(options: ReadOptions, fields: ReadonlyMap<string, string>): Found[] {
  return parseEntries(fields.get('awaited')).flatMap((entry): Found[] => {
    const [stamp = '', callRef = '', , campaign = '', noted, left = '', , kind] = entry.split(SEPARATOR)
    const one = { stamp, callRef, campaign, kind: kind as HandedBy, notedMs: Number(noted) }
    if (left !== '') return [{ ...one, leftMs: Number(left), dueMs: Number(left) }]
    // The call that the agent has now, or had last.
    const facts = new Map([...fields, ['call_stamp', stamp], ['call_campaign', campaign]])
    const end = findEnd({ fields: facts, states: toStates(fields) })
    if (typeof end === 'object' && end.leftMs !== undefined)
      return [{ ...one, campaign: campaign || (end.campaign ?? ''), leftMs: end.leftMs, dueMs: end.leftMs }]
    // No state says when it ended: it is not shown for longer than that.
    return [{ ...one, leftMs: undefined, dueMs: msOf(stamp) + options.callLimitSeconds * 1_000 }]
  })
}
