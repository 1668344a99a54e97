import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { ProducerError } from '../errors.ts'

/**
 * Keeps a folder for this process until it is released. The lock is SQLite's on a file: the system gives it back when the process dies,
 * by `kill -9` too, and it holds between containers that share the folder, where process ids mean nothing.
 *
 * @throws ProducerError `producer.backup.locked`
 */
export function lockFolder(folder: string): { release: () => void } {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const db = new DatabaseSync(join(folder, 'lock'))
  try {
    // Never committed: the lock lasts as long as the transaction.
    db.exec('BEGIN EXCLUSIVE')
  } catch (cause) {
    db.close()
    if (cause instanceof Error && /locked/.test(cause.message)) {
      throw new ProducerError(
        'producer.backup.locked',
        `another producer uses the backup folder ${folder}; give each a folder of its own`,
        { cause },
      )
    }
    throw cause
  }
  return { release: () => db.close() }
}
