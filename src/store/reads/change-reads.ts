import type { Change, ChangesPage } from '../../answers/index.ts'
import { StoreError } from '../store-errors.ts'
import { type ReadOptions, toMap } from './list-pages.ts'

export type ChangesFilter = {
  /** The `cursor` of an earlier answer. Absent: only the current cursor is returned. */
  readonly after?: string | undefined
  /** `agents` or `agents/status`. */
  readonly type?: string | undefined
  readonly reference?: string | undefined
}

/** The changes of one commit, in order. Its cursor is the place after it. */
export type ChangeCommit = { readonly cursor: string; readonly changes: readonly Change[] }

/** Commits after a cursor. As in `ChangesPage`, `more` means that there are more, and `reset` that the changes cannot be determined. */
export type CommitsPage = {
  readonly commits: readonly ChangeCommit[]
  readonly cursor: string
  readonly more: boolean
  readonly reset: boolean
}

/** Commits read in one request, each with up to 16 kB of changes; fewer if the reply would be too large. */
const COMMITS_PER_READ = 100
/** The cursor of a stream without entries. */
const BEGINNING = '0-0'

type Entry = readonly [id: string, fields: readonly string[]]

/**
 * Reads the commits after a cursor, in order. A cursor is the id of an entry of the stream, and is read together with the entries after it.
 * If it no longer exists, entries after it may be missing as well.
 */
export async function readCommits(options: ReadOptions, after: string): Promise<CommitsPage> {
  if (!/^\d{1,15}-\d{1,19}$/.test(after))
    throw new StoreError('store.cursor.invalid', 'the cursor was not returned by this API')
  const {
    entries: [first, ...entries],
    isCut,
  } = await readEntries(options, `${options.prefix}changes`, after, COMMITS_PER_READ + 1)
  if (first === undefined && after === BEGINNING) return { commits: [], cursor: after, more: false, reset: false }
  const commits = entries.flatMap((entry) => readCommit(entry) ?? [])
  if (first?.[0] !== after || commits.length < entries.length)
    return { commits: [], cursor: await readEnd(options), more: false, reset: true }
  return { commits, cursor: commits.at(-1)?.cursor ?? after, more: isCut, reset: false }
}

/** Reads the changes after a cursor, in order. Without a cursor, returns the current end of the stream. */
export async function readChanges(
  options: ReadOptions,
  { after, type, reference }: ChangesFilter = {},
): Promise<ChangesPage> {
  if (after === undefined) return { items: [], cursor: await readEnd(options), more: false, reset: false }
  const { commits, ...page } = await readCommits(options, after)
  const items = commits
    .flatMap(({ changes }) => changes)
    .filter((one) => (type === undefined || isOf(one.type, type)) && (reference === undefined || one.ref === reference))
  return { items, ...page }
}

async function readEnd({ upstash, prefix }: ReadOptions): Promise<string> {
  const [last] = await upstash.readAll([['XREVRANGE', `${prefix}changes`, '+', '-', 'COUNT', '1']])
  const [end] = (last ?? []) as Entry[]
  return end?.[0] ?? BEGINNING
}

/** Returns whether a kind matches. A type, such as `agents`, matches each of its kinds. */
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

type KeptChange = { readonly kind: string; readonly ref: string; readonly late?: boolean } & Partial<Change>

/** Returns the changes of a commit, or undefined if there were too many to list. */
function readCommit([id, fields]: Entry): ChangeCommit | undefined {
  const json = toMap(fields).get('changes')
  if (json === undefined) return undefined
  const at = new Date(Number.parseInt(id, 10)).toISOString()
  const changes = (JSON.parse(json) as KeptChange[]).map(
    ({
      kind,
      ref,
      campaign_ref = null,
      state = null,
      from = null,
      call_ref = null,
      source = null,
      transport = null,
      sequence = null,
      notification_id = null,
      late = false,
    }): Change => ({
      at,
      type: kind,
      ref,
      campaign_ref,
      state: late ? null : state,
      from,
      call_ref,
      source,
      transport,
      sequence,
      notification_id,
    }),
  )
  return { cursor: id, changes }
}
