import type { CommitsPage, Reads } from '../store/index.ts'

/** Waits for the commits behind a cursor: none where nothing came in time, `ended` resolved before, or the read model did not answer. */
export type ReadTail = (cursor: string, ended: Promise<void>) => Promise<CommitsPage>

/** A read that does not end, since the runtime gave up the request that began it, is left (ms). Longer than the read model is tried. */
const LOST_MS = 20_000

/** One read that many wait for. */
type Shared = { readonly from: string; readonly startMs: number; waiting: number; page: Promise<CommitsPage> }

/**
 * The end of the stream of changes, for everybody in this process who waits for something: all of them share one read each `pollMs`, wherever they
 * began, since each takes only the commits behind its own cursor. Nothing is read while nobody waits.
 */
export function createChangeTail({ commits }: Pick<Reads, 'commits'>, pollMs: number): ReadTail {
  let shared: Shared | undefined
  /** The last read was not the end: the next one waits for nothing. */
  let isBehind = false

  const start = (from: string): Shared => {
    const nothing = { commits: [], cursor: from, more: false, reset: false }
    const one: Shared = { from, startMs: Date.now(), waiting: 0, page: Promise.resolve(nothing) }
    const read = async (): Promise<CommitsPage> => {
      await new Promise((resolve) => setTimeout(resolve, isBehind ? 0 : pollMs))
      try {
        if (one.waiting === 0) return nothing
        const page = await commits(from)
        isBehind = page.more
        return page
      } catch {
        // The next read is behind the same cursor, and whoever has waited long enough reads again and is told.
        return nothing
      } finally {
        if (shared === one) shared = undefined
      }
    }
    one.page = read()
    return one
  }

  return async (cursor, ended) => {
    if (shared !== undefined && Date.now() - shared.startMs > LOST_MS) shared = undefined
    const one = (shared ??= start(cursor))
    // It began behind this cursor, which happens once to who waits at first.
    if (isBefore(cursor, one.from)) return commits(cursor)
    one.waiting++
    try {
      const page = (await Promise.race([one.page, ended])) ?? { commits: [], cursor, more: false, reset: false }
      if (page.reset) return page
      const own = page.commits.filter((commit) => isBefore(cursor, commit.cursor))
      return { ...page, commits: own, cursor: isBefore(cursor, page.cursor) ? page.cursor : cursor }
    } finally {
      one.waiting--
    }
  }
}

/** Whether a place in the stream is before another: both are `<unix ms>-<number>`. */
function isBefore(one: string, other: string): boolean {
  const [ms = 0n, number = 0n] = one.split('-').map(BigInt)
  const [otherMs = 0n, otherNumber = 0n] = other.split('-').map(BigInt)
  return ms === otherMs ? number < otherNumber : ms < otherMs
}
