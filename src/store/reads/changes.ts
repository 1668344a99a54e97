import type { Change, ChangesPage } from '../../answers/index.ts'
import { StoreError } from '../errors.ts'
import type { ChangesFilter } from '../types.ts'
import { toMap, type ReadOptions } from './replies.ts'

/** Commits that are read at once, each with up to 16 kB of changes; fewer where the reply would be too large. */
const COMMITS = 100
/** The cursor of a stream without entries. */
const BEGINNING = '0-0'

type Entry = readonly [id: string, fields: readonly string[]]

/**
 * What changed behind a cursor, in order; without one, the present end. A cursor is the id of an entry of the stream, and is read with those behind
 * it: where it is gone, entries behind it may be gone as well.
 */
export async function readChanges(
  options: ReadOptions,
  { after, type, reference }: ChangesFilter = {},
): Promise<ChangesPage> {
  const key = `${options.prefix}changes`
  if (after !== undefined) {
    if (!/^\d{1,15}-\d{1,19}$/.test(after))
      throw new StoreError('store.cursor.invalid', 'the cursor was not returned by this API')
    const {
      entries: [first, ...entries],
      isCut,
    } = await readEntries(options, key, after, COMMITS + 1)
    if (first === undefined && after === BEGINNING) return { items: [], cursor: after, more: false, reset: false }
    const changes = entries.map(toChanges)
    if (first?.[0] === after && !changes.includes(undefined))
      return {
        items: changes
          .flatMap((some) => some ?? [])
          .filter(
            (one) => (type === undefined || isOf(one.type, type)) && (reference === undefined || one.ref === reference),
          ),
        cursor: entries.at(-1)?.[0] ?? after,
        more: isCut,
        reset: false,
      }
  }
  const [last] = await options.upstash.readAll([['XREVRANGE', key, '+', '-', 'COUNT', '1']])
  const [end] = (last ?? []) as Entry[]
  return { items: [], cursor: end?.[0] ?? BEGINNING, more: false, reset: after !== undefined }
}

/** `agents` is each of its kinds. */
const isOf = (kind: string, type: string): boolean => kind === type || kind.startsWith(`${type}/`)

async function readEntries(
  options: ReadOptions,
  key: string,
  from: string,
  count: number,
): Promise<{ readonly entries: Entry[]; readonly isCut: boolean }> {
  try {
    const [reply] = await options.upstash.readAll([['XRANGE', key, from, '+', 'COUNT', String(count)]])
    const entries = (reply ?? []) as Entry[]
    return { entries, isCut: entries.length === count }
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'store.upstash.too_large' || count <= 2) throw error
    return readEntries(options, key, from, Math.ceil(count / 2))
  }
}

/** The changes of a commit; undefined where there were too many to be listed. */
function toChanges([id, fields]: Entry): Change[] | undefined {
  const json = toMap(fields).get('changes')
  if (json === undefined) return undefined
  const at = new Date(Number.parseInt(id, 10)).toISOString()
  return (JSON.parse(json) as ({ readonly kind: string; readonly ref: string } & Partial<Change>)[]).map(
    ({
      kind,
      ref,
      campaign_ref = null,
      state = null,
      source = null,
      transport = null,
      sequence = null,
      notification_id = null,
    }) => ({
      at,
      type: kind,
      ref,
      campaign_ref,
      state,
      source,
      transport,
      sequence,
      notification_id,
    }),
  )
}
