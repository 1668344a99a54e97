import { toName } from '../names.ts'
import { fieldsOfTerm, fieldsOfTime, parsePlaces, QUARTER_MS, toTerm } from '../terms.ts'
import type { CdrFilter } from '../types.ts'
import type { Place } from './newest-first.ts'
import type { ReadOptions } from './replies.ts'

/** Quarters of an hour whose indexes are asked for in one request. */
const AT_ONCE = 48

/**
 * The places of CDRs, newest first, behind a place where one is given: by the term of the filter that few CDRs have, else by time. What a
 * revision no longer says may still be found: the rest of the filter is applied to the records.
 */
export async function* readPlaces(
  options: ReadOptions,
  filter: CdrFilter,
  behind: Place | undefined,
): AsyncGenerator<Place> {
  const { upstash, prefix, now } = options
  const { fields, term } = await fieldsOf(filter)
  const toMs = Math.min(filter.toMs ?? Infinity, behind?.ms ?? Infinity)
  const fromMs = filter.fromMs ?? -Infinity
  const [alive] = await upstash.readAll([['ZRANGEBYSCORE', `${prefix}quarters`, String(now()), '+inf']])
  const quarters = (alive as string[])
    .map(Number)
    .filter((quarter) => quarter * QUARTER_MS <= toMs && (quarter + 1) * QUARTER_MS > fromMs)
    .toSorted((a, b) => b - a)
  for (let from = 0; from < quarters.length;) {
    // The first of them is often enough.
    const some = quarters.slice(from, from + (from === 0 ? 2 : AT_ONCE))
    from += some.length
    const replies = await upstash.readAll(some.map((quarter) => ['HMGET', `${prefix}cdrs:${quarter}`, ...fields]))
    for (const [index, quarter] of some.entries()) {
      const places = (replies[index] as (string | null)[]).flatMap((text) => [
        ...parsePlaces(text ?? '', quarter, term),
      ])
      const wanted = places.filter(
        ({ ms, id }) => ms >= fromMs && (ms < toMs || (ms === toMs && (behind === undefined || id < behind.id))),
      )
      const once = new Map(wanted.map((place) => [place.id, place]))
      yield* [...once.values()].toSorted((a, b) => b.ms - a.ms || (a.id < b.id ? 1 : -1))
    }
  }
}

async function fieldsOf({ number, contact, agent, campaign }: CdrFilter) {
  const [own] = [['number', number] as const, ['contact', contact] as const, ['agent', agent] as const].filter(
    ([, value]) => value !== undefined,
  )
  if (own !== undefined) {
    const term = toTerm(own[0], own[1] as string)
    return { fields: fieldsOfTerm(term), term }
  }
  return { fields: fieldsOfTime(campaign === undefined ? undefined : await toName(campaign)), term: undefined }
}
