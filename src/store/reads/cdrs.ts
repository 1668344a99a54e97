import type { CdrDetail, CdrFilter, CdrRecord, Page } from '../types.ts'
import { clampLimit, formatCursor, parseCursor, SEPARATOR, toMap, toTexts, type ReadOptions } from './replies.ts'

/** How many candidates are looked at for one page: a filter on what has no index may leave few of them. */
const SCAN_PAGES = 10

/**
 * CDRs by filter, newest first by `dialed_at`. The smallest index that the filter names is read, and the rest of the filter applied
 * to it. The cursor names the last CDR of the page, so that it holds while new ones come in.
 */
export async function readCdrs(options: ReadOptions, filter: CdrFilter = {}): Promise<Page<CdrRecord>> {
  const limit = clampLimit(filter.limit)
  const key = options.prefix + indexOf(filter)
  const fits = toPredicate(filter)
  const items: CdrRecord[] = []
  let position = filter.cursor === undefined ? undefined : toPosition(filter.cursor)
  for (let scanned = 0; scanned < SCAN_PAGES; scanned++) {
    const candidates = await readIndex(options, key, filter, position, limit)
    const records = await readRecords(options, candidates.map(({ id }) => id))
    for (const [index, candidate] of candidates.entries()) {
      position = candidate
      const record = records[index]
      if (record === undefined || !fits(record)) continue
      items.push(record)
      if (items.length === limit) return { items, next: formatCursor([candidate.score, candidate.id]) }
    }
    if (candidates.length < limit) return { items, next: null }
  }
  return { items, next: position === undefined ? null : formatCursor([position.score, position.id]) }
}

/** One CDR with its revisions; null when there is none, or it has run out. */
export async function readCdr({ upstash, prefix }: ReadOptions, id: string): Promise<CdrDetail | null> {
  const [hash, revisions] = await upstash.readAll([
    ['HMGET', `${prefix}cdr:${id}`, 'json', 'revised', 'content'],
    ['HVALS', `${prefix}cdr_revisions:${id}`],
  ])
  const [json, revised, content] = hash as (string | null)[]
  if (typeof json !== 'string') return null
  const former = toTexts(revisions)
    .map((text) => ({ ms: Number(text.slice(0, text.indexOf(SEPARATOR))), json: text.slice(text.indexOf(SEPARATOR) + 1) }))
    .toSorted((a, b) => b.ms - a.ms)
  return {
    ...(JSON.parse(json) as Omit<CdrRecord, 'revised'>),
    revised: revised === '1',
    revisions: former.map((revision) => JSON.parse(revision.json) as Omit<CdrRecord, 'revised'>),
    payload: JSON.parse(content ?? '{}') as Record<string, unknown>,
  }
}

type Position = { readonly score: number; readonly id: string }

const toPosition = (cursor: string): Position => {
  const [score, id] = parseCursor(cursor, 2)
  return { score: Number(score), id: String(id) }
}

function indexOf({ number, contact, agent, campaign }: CdrFilter): string {
  if (number !== undefined) return `cdrs_by:number:${number}`
  if (contact !== undefined) return `cdrs_by:contact:${contact}`
  if (agent !== undefined) return `cdrs_by:agent:${agent}`
  return campaign === undefined ? 'cdrs' : `cdrs_by:campaign:${campaign}`
}

/** Up to `limit` entries behind a position. Those of the same second are in the order of their ids, the last first, as Redis has them. */
async function readIndex({ upstash }: ReadOptions, key: string, { fromMs, toMs }: CdrFilter, behind: Position | undefined, limit: number): Promise<Position[]> {
  const min = fromMs === undefined ? '-inf' : String(fromMs)
  const max = behind === undefined ? (toMs === undefined ? '+inf' : String(toMs)) : String(behind.score)
  for (let count = limit; ; count *= 2) {
    const [reply] = await upstash.readAll([['ZREVRANGEBYSCORE', key, max, min, 'WITHSCORES', 'LIMIT', '0', String(count)]])
    const entries = [...toMap(reply)].map(([id, score]) => ({ id, score: Number(score) }))
    const left = behind === undefined ? entries : entries.filter(({ id, score }) => score < behind.score || id < behind.id)
    // More of one second than a page holds: all that came before were returned already, so look further.
    if (left.length >= limit || entries.length < count) return left.slice(0, limit)
  }
}

async function readRecords({ upstash, prefix }: ReadOptions, ids: readonly string[]): Promise<(CdrRecord | undefined)[]> {
  const replies = await upstash.readAll(ids.map((id) => ['HMGET', `${prefix}cdr:${id}`, 'json', 'revised']))
  return replies.map((reply) => {
    const [json, revised] = reply as (string | null)[]
    return typeof json === 'string' ? { ...(JSON.parse(json) as Omit<CdrRecord, 'revised'>), revised: revised === '1' } : undefined
  })
}

/** Also of what an index was read by: a revision may have another campaign than the record had. */
function toPredicate({ campaign, agent, contact, number, endReason }: CdrFilter): (record: CdrRecord) => boolean {
  return (record) =>
    (campaign === undefined || record.campaign_ref === campaign) &&
    (agent === undefined || record.extension === agent) &&
    (contact === undefined || record.contact_ref === contact) &&
    (number === undefined || record.number === number || record.dial_number === number) &&
    (endReason === undefined || record.end_reason === endReason)
}
