import type { CdrDetail, CdrFilter, CdrRecord, Page } from '../types.ts'
import { readNewestFirst } from './newest-first.ts'
import { SEPARATOR, toTexts, type ReadOptions } from './replies.ts'

/** CDRs by filter, newest first by `dialed_at`. The smallest index that the filter names is read, and the rest of the filter applied to it. */
export async function readCdrs(options: ReadOptions, filter: CdrFilter = {}): Promise<Page<CdrRecord>> {
  const { fromMs, toMs, cursor, limit } = filter
  const key = options.prefix + indexOf(filter)
  const readRecords = (ids: readonly string[]) => readCdrRecords(options, ids)
  return readNewestFirst(options.upstash, { key, fromMs, toMs, cursor, limit, readRecords, fits: toPredicate(filter) })
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
    .map((text) => ({
      ms: Number(text.slice(0, text.indexOf(SEPARATOR))),
      json: text.slice(text.indexOf(SEPARATOR) + 1),
    }))
    .toSorted((a, b) => b.ms - a.ms)
  return {
    ...(JSON.parse(json) as Omit<CdrRecord, 'revised'>),
    revised: revised === '1',
    revisions: former.map((revision) => JSON.parse(revision.json) as Omit<CdrRecord, 'revised'>),
    payload: JSON.parse(content ?? '{}') as Record<string, unknown>,
  }
}

function indexOf({ number, contact, agent, campaign }: CdrFilter): string {
  if (number !== undefined) return `cdrs_by:number:${number}`
  if (contact !== undefined) return `cdrs_by:contact:${contact}`
  if (agent !== undefined) return `cdrs_by:agent:${agent}`
  return campaign === undefined ? 'cdrs' : `cdrs_by:campaign:${campaign}`
}

async function readCdrRecords(
  { upstash, prefix }: ReadOptions,
  ids: readonly string[],
): Promise<(CdrRecord | undefined)[]> {
  const replies = await upstash.readAll(ids.map((id) => ['HMGET', `${prefix}cdr:${id}`, 'json', 'revised']))
  return replies.map((reply) => {
    const [json, revised] = reply as (string | null)[]
    return typeof json === 'string'
      ? { ...(JSON.parse(json) as Omit<CdrRecord, 'revised'>), revised: revised === '1' }
      : undefined
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
