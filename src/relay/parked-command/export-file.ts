import { link, open, unlink } from 'node:fs/promises'
import { describe, RelayError } from '../errors.ts'
import { formatLine, type Entry } from '../parking/parked-entry.ts'

/** One line of JSON for an entry, with everything that is known of it: personal data too. What cannot be read is there as base64. */
export function formatExportLine(entry: Entry, source: string): string {
  if (entry.kind === 'unreadable') {
    return JSON.stringify({
      source,
      id: entry.id,
      reason: entry.kind,
      detail: entry.why,
      entry_base64: entry.raw.toString('base64'),
    })
  }
  return formatLine(entry, { source })
}

export const fileExists = (file: string) =>
  new RelayError('relay.parked.file_exists', `${file} already exists, so nothing was written: choose another file name`)

/**
 * A file that appears whole or not at all, for its owner's eyes only, and never in place of another.
 *
 * @throws RelayError `relay.parked.file_exists`, `relay.parked.file_failed`
 */
export async function writeExport(
  file: string,
  write: (line: (text: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const onDisk = <T>(step: Promise<T>): Promise<T> =>
    step.catch((error: unknown) => {
      throw new RelayError('relay.parked.file_failed', `cannot write ${file}: ${describe(error)}`, { cause: error })
    })
  const unfinished = `${file}.${process.pid}.unfinished`
  const handle = await onDisk(open(unfinished, 'wx', 0o600))
  try {
    try {
      await write((text) => onDisk(handle.appendFile(`${text}\n`)))
      await onDisk(handle.sync())
    } finally {
      await handle.close()
    }
    // Unlike a rename, a link never takes the place of a file that is there.
    await link(unfinished, file).catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') throw fileExists(file)
      return onDisk(Promise.reject(error))
    })
  } finally {
    await unlink(unfinished)
  }
}
