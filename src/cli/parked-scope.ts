import type { SourceConfig } from '../relay/index.ts'
import type { Entry } from '../relay/parked/entry.ts'
import { ParkedError } from '../relay/parked/errors.ts'
import type { Filter } from '../relay/parked/filter.ts'
import { createParkedList, type ParkedList } from '../relay/parked/parked-list.ts'
import { withSource } from '../relay/parked/with-source.ts'
import type { Redis } from '../relay/redis.ts'
import { createLog } from '../runtime/index.ts'
import { sayProgress } from './parked-output.ts'

/** Which entries of which sources a run of `enigma-relay parked` is about. */
export type ParkedScope = {
  readonly sources: readonly SourceConfig[]
  readonly filter: Filter
  /** The ids asked for that were not found yet. */
  readonly unseen: Set<string>
  readonly json: boolean
  readonly signal: AbortSignal
}

/** What to say when nothing was found. */
export const emptyWords = ({ filter }: ParkedScope): string =>
  Object.values(filter).every((part) => part === undefined) ? 'nothing is parked' : 'nothing that is parked matches'

/** One source after the other, each with a connection of its own. @throws ParkedError */
export async function overSources(
  { sources, signal }: ParkedScope,
  body: (list: ParkedList, sourceId: string, client: Redis) => Promise<void>,
): Promise<void> {
  // What goes wrong is thrown, and said once by main.ts.
  const log = createLog('silent')
  for (const source of sources) {
    if (signal.aborted) return
    await withSource(source, log, (client) => body(createParkedList(client, source.id), source.id, client))
  }
}

/** The entries of all sources, a page at a time. @throws ParkedError */
export async function overPages(
  scope: ParkedScope,
  body: (entries: readonly Entry[], sourceId: string) => Promise<void>,
): Promise<void> {
  await overSources(scope, async (list, sourceId) => {
    for await (const page of list.pages(scope.filter)) {
      for (const { id } of page.entries) scope.unseen.delete(id)
      await body(page.entries, sourceId)
      sayProgress(page, sourceId)
      if (scope.signal.aborted) break
    }
  })
  if (scope.signal.aborted) throw new ParkedError('relay.parked.stopped', 'stopped before the end of the list')
}
