import { parseCdrEntry } from '../cdr-record.ts'
import { parseEntries } from '../document.ts'
import { toName } from '../names.ts'
import { DAY_MS } from '../terms.ts'
import type { CdrDetail, CdrFilter, CdrRecord, Page } from '../types.ts'
import { readPlaces } from './cdr-index.ts'
import { readPage, toPlace, type Place } from './newest-first.ts'
import { keptSince, type ReadOptions } from './replies.ts'

/** CDRs by filter, newest first by `dialed_at`. */
export async function readCdrs(options: ReadOptions, filter: CdrFilter = {}): Promise<Page<CdrRecord>> {
  const places = readPlaces(options, filter, toPlace(filter.cursor))
  const readRecords = (found: readonly Place[]) => readCdrRecords(options, found)
  return readPage<CdrRecord>(places, { limit: filter.limit, readRecords, fits: toPredicate(filter) })
}

/** One CDR with its revisions; null when there is none, or it has run out. */
export async function readCdr(options: ReadOptions, id: string): Promise<CdrDetail | null> {
  const { upstash, prefix } = options
  const [text] = await upstash.readAll([['GET', `${prefix}cdr:${await toName(id)}`]])
  const kept = toKept(options, text)
  if (kept === undefined) return null
  const [{ record, payload }, ...revisions] = kept
  return {
    id,
    ...record,
    revised: revisions.length > 0,
    revisions: revisions.map((revision) => ({ id, ...revision.record })),
    payload: { ...payload },
  }
}

/** A CDR and its revisions, unless it has run out. */
function toKept(options: ReadOptions, text: unknown) {
  const [first, ...revisions] = parseEntries(text)
  if (first === undefined) return undefined
  const kept = parseCdrEntry(first)
  if (kept.keptMs <= keptSince(options, 'cdr')) return undefined
  const others = revisions.map(parseCdrEntry).toSorted((a, b) => b.event.time.localeCompare(a.event.time))
  return [kept, ...others] as const
}

async function readCdrRecords(options: ReadOptions, places: readonly Place[]): Promise<(CdrRecord | undefined)[]> {
  const { upstash, prefix } = options
  const [texts] = await upstash.readAll([['MGET', ...places.map(({ id }) => `${prefix}cdr:${id}`)]])
  return places.map(({ id, ms }, index) => {
    const kept = toKept(options, (texts as unknown[])[index])
    if (kept === undefined) return undefined
    const [{ record }, ...revisions] = kept
    // A revision may be listed elsewhere. One from the future, by a clock that is wrong, is listed under when it was written.
    const listedMs = Date.parse(record.dialed_at)
    if (listedMs !== ms && listedMs < ms + DAY_MS / 2) return undefined
    return { id, ...record, revised: revisions.length > 0 }
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
