import type { CdrDetail, CdrFilter, CdrRecord, Page } from '../types.ts'
import { toName } from '../names.ts'
import { readNewestFirst } from './newest-first.ts'
import { keptSince, newestFirst, SEPARATOR, toTexts, type ReadOptions } from './replies.ts'

/** CDRs by filter, newest first by `dialed_at`. The smallest index that the filter names is read, and the rest of the filter applied to it. */
export async function readCdrs(options: ReadOptions, filter: CdrFilter = {}): Promise<Page<CdrRecord>> {
  const { fromMs, toMs, cursor, limit } = filter
  const key = options.prefix + (await indexOf(filter))
  const readRecords = (ids: readonly string[]) => readCdrRecords(options, ids)
  return readNewestFirst(options.upstash, { key, fromMs, toMs, cursor, limit, readRecords, fits: toPredicate(filter) })
}

/** One CDR with its revisions; null when there is none, or it has run out. */
export async function readCdr(options: ReadOptions, id: string): Promise<CdrDetail | null> {
  const { upstash, prefix } = options
  const name = await toName(id)
  const [hash, revisions] = await upstash.readAll([
    ['HMGET', `${prefix}cdr:${name}`, ...FIELDS, 'content'],
    ['HVALS', `${prefix}cdr_revisions:${name}`],
  ])
  const record = toRecord(options, name, hash)
  if (record === undefined) return null
  const former = newestFirst(toTexts(revisions)).map((text) => text.slice(text.indexOf(SEPARATOR) + 1))
  return {
    ...record,
    revisions: former.map((json) => ({ id: record.id, ...(JSON.parse(json) as Stored) })),
    payload: JSON.parse((hash as (string | null)[])[FIELDS.length] ?? '{}') as Record<string, unknown>,
  }
}

type Stored = Omit<CdrRecord, 'id' | 'revised'>
const FIELDS = ['json', 'revised', 'kept'] as const

/** A record, unless it has run out: what is no longer kept may still wait to be purged. */
function toRecord(options: ReadOptions, id: string, reply: unknown): CdrRecord | undefined {
  const [json, revised, kept] = reply as (string | null)[]
  return typeof json === 'string' && Number(kept) > keptSince(options, 'cdr')
    ? { id, ...(JSON.parse(json) as Stored), revised: revised === '1' }
    : undefined
}

async function indexOf({ number, contact, agent, campaign }: CdrFilter): Promise<string> {
  const own = Object.entries({ number, contact, agent, campaign }).find(([, value]) => value !== undefined)
  return own === undefined ? 'cdrs' : `cdrs_by:${await toName(own.join(':'))}`
}

async function readCdrRecords(options: ReadOptions, ids: readonly string[]): Promise<(CdrRecord | undefined)[]> {
  const { upstash, prefix } = options
  const replies = await upstash.readAll(ids.map((id) => ['HMGET', `${prefix}cdr:${id}`, ...FIELDS]))
  return replies.map((reply, index) => toRecord(options, ids[index] as string, reply))
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
