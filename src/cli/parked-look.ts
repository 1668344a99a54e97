import { existsSync } from 'node:fs'
import { toBytes } from '../protocol/index.ts'
import { fileExists, formatExportLine, writeExport } from '../relay/parked-command/export-file.ts'
import { createListing, print } from './parked-output.ts'
import { emptyWords, overPages, type ParkedScope } from './parked-scope.ts'

/** Prints a table, or a line of JSON each; the newest last. */
export async function listParked(scope: ParkedScope): Promise<void> {
  const listing = createListing(scope.json)
  await overPages(scope, (entries, sourceId, file) => listing.add(entries, sourceId, file))
  if (scope.unseen.size === 0) await listing.end(emptyWords(scope))
}

/** Prints the packet's very bytes, and nothing else. */
export async function showParked(scope: ParkedScope): Promise<void> {
  let first: Buffer | undefined
  let copies = 0
  let differ = false
  await overPages(scope, async (entries) => {
    for (const entry of entries) {
      const bytes = Buffer.from(entry.kind === 'unreadable' ? entry.raw : toBytes(entry.notification.data))
      copies++
      first ??= bytes
      differ ||= !first.equals(bytes)
    }
  })
  if (first !== undefined) await print(first)
  if (differ)
    process.stderr.write(
      `enigma-relay: ${copies} different entries have this id; this is the oldest, --export writes all of them\n`,
    )
}

/** Writes all that is known of the entries to a new file. @throws RelayError when it is there already or cannot be written */
export async function exportParked(scope: ParkedScope, file: string): Promise<void> {
  // Known before a long list is read; asked again when the file is put in its place.
  if (existsSync(file)) throw fileExists(file)
  let count = 0
  await writeExport(file, (line) =>
    overPages(scope, async (entries, sourceId) => {
      for (const entry of entries) await line(formatExportLine(entry, sourceId))
      count += entries.length
    }),
  )
  await print(`wrote ${count} ${count === 1 ? 'entry' : 'entries'} to ${file}, personal data included\n`)
}
