import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { RelayError } from '../relay/errors.ts'
import type { SourceConfig } from '../relay/index.ts'
import { PARKED_FILES_KEY } from '../relay/redis/keys.ts'
import type { Entry } from '../relay/parking/parked-entry.ts'
import { findOverflowFiles, openOverflowList } from '../relay/parking/overflow.ts'
import { createParkedList, type Filter, type ParkedList } from '../relay/parking/parked-list.ts'
import { withSource } from '../relay/parked-command/with-source.ts'
import type { Redis } from '../relay/redis/client.ts'
import { createLog } from '../runtime/index.ts'
import { sayProgress } from './parked-output.ts'

/** Which entries of which sources a run of `enigma-relay parked` is about. */
export type ParkedScope = {
  readonly sources: readonly SourceConfig[]
  readonly filter: Filter
  /** The ids asked for that were not found yet. */
  readonly unseen: Set<string>
  readonly json: boolean
  /** Where this machine's relay keeps what a parked list has no room for. */
  readonly dataDir: string
  readonly signal: AbortSignal
}

/** What to say when nothing was found. */
export const emptyWords = ({ filter }: ParkedScope): string =>
  Object.values(filter).every((part) => part === undefined)
    ? 'no notification is parked'
    : 'no parked notification matches'

/** One source after the other, each with a connection of its own: its list, and then the files beside it. @throws RelayError */
export async function overSources(
  { sources, signal, dataDir }: ParkedScope,
  body: (list: ParkedList, sourceId: string, client: Redis) => Promise<void>,
): Promise<void> {
  // What goes wrong is thrown, and said once by main.ts.
  const log = createLog('silent')
  for (const source of sources) {
    if (signal.aborted) return
    await withSource(source, log, async (client) => {
      await body(createParkedList(client, source.id), source.id, client)
      const files = await findOverflowFiles(dataDir, source.id)
      for (const file of files) if (!signal.aborted) await body(openOverflowList(file), source.id, client)
      await sayFilesElsewhere(client, source.id, files)
    })
  }
}

/** Entries may also be in files of relays on other machines, or in folders that this command does not know. */
async function sayFilesElsewhere(client: Redis, sourceId: string, files: readonly string[]): Promise<void> {
  // It is a hint only, and the user of Redis may have no right to read it.
  const noted = await client.hGetAll(PARKED_FILES_KEY).catch(() => ({}))
  const here = new Set(files.map((file) => `${hostname()}:${resolve(file)}`))
  for (const [relayId, place] of Object.entries(noted))
    if (!here.has(place))
      process.stderr.write(
        `enigma-relay: the relay ${relayId} has more parked notifications of ${sourceId} in ${place}: run this command on its host, with its ENIGMA_DATA_DIR\n`,
      )
}

/** The entries of all sources, a page at a time. @throws RelayError */
export async function overPages(
  scope: ParkedScope,
  body: (entries: readonly Entry[], sourceId: string, file: string | undefined) => Promise<void>,
): Promise<void> {
  await overSources(scope, async (list, sourceId) => {
    for await (const page of list.pages(scope.filter)) {
      for (const { id } of page.entries) scope.unseen.delete(id)
      await body(page.entries, sourceId, list.file)
      sayProgress(page, sourceId)
      if (scope.signal.aborted) break
    }
  })
  if (scope.signal.aborted) throw new RelayError('relay.parked.stopped', 'stopped before the end of the list')
}
