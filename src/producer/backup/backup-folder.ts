import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { appendFile, open, rename, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { ProducerError } from '../connection.ts'
import { formatPosition, parsePosition, type Position } from './backup-record.ts'

/** What is durable in a backup folder: its lock, its state, and files that are added to. */

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
    if (!(cause instanceof Error && /locked/.test(cause.message))) throw cause
    throw new ProducerError(
      'producer.backup.locked',
      `another producer uses the backup folder ${folder}; give each a folder of its own`,
      { cause },
    )
  }
  return { release: () => db.close() }
}

/** What a folder knows of itself beside the packets. */
type State = {
  /** A random word, in the name of the key under which Redis knows the folder. */
  readonly id: string
  /** All before it is pushed. */
  readonly position?: Position | undefined
}

const STATE_FILE = 'state.json'

const formatState = ({ id, position }: State): string =>
  `${JSON.stringify({ id, ...(position && { position: formatPosition(position) }) })}\n`

/** Undefined when there is none, or none that can be read. */
export function readState(folder: string): State | undefined {
  try {
    const { id, position } = JSON.parse(readFileSync(join(folder, STATE_FILE), 'utf8')) as Record<string, unknown>
    return typeof id === 'string' ? { id, position: parsePosition(String(position)) } : undefined
  } catch {
    return undefined
  }
}

export const writeFirstState = (folder: string, id: string): void =>
  writeFileSync(join(folder, STATE_FILE), formatState({ id }), { mode: 0o600, flush: true })

/** Replaces it in one step: after a crash there is the old one or the new one. */
export async function writeState(folder: string, state: State): Promise<void> {
  const next = join(folder, `${STATE_FILE}.next`)
  await writeFile(next, formatState(state), { mode: 0o600, flush: true })
  await rename(next, join(folder, STATE_FILE))
  await syncFolder(folder)
}

/** Keeps a line that cannot be read beside its file, in `<file>.damaged`: a human may still make something of it. */
export const keepDamaged = (folder: string, file: string, line: Buffer): Promise<void> =>
  appendFile(join(folder, `${file}.damaged`), Buffer.concat([line, Buffer.from('\n')]), { mode: 0o600, flush: true })

/** Makes a file that is added to; it must not be there yet. */
export async function createAppendFile(folder: string, name: string) {
  const handle = await open(join(folder, name), 'wx', 0o600)
  try {
    await syncFolder(folder)
  } catch (error) {
    await handle.close()
    throw error
  }
  let bytes = 0
  let isBroken = false
  return {
    name,
    /** How much of it is safely on disk, bytes. */
    get bytes() {
      return bytes
    },
    get isBroken() {
      return isBroken
    },
    /** Resolves when all of it is on disk. When it rejects, nothing of it counts, and the file is not to be used again if `isBroken`. */
    append: async (data: Buffer): Promise<void> => {
      try {
        await writeAll(handle, data, bytes)
        await handle.datasync()
        bytes += data.length
      } catch (error) {
        // A full disk takes the first half of a line: away with it. After a failed sync nobody knows what is on disk.
        isBroken = await handle.truncate(bytes).then(
          () => error instanceof Error && 'syscall' in error && error.syscall !== 'write',
          () => true,
        )
        throw error
      }
    },
    close: () => handle.close(),
  }
}

async function writeAll(handle: FileHandle, data: Buffer, position: number): Promise<void> {
  for (let at = 0; at < data.length;) {
    const { bytesWritten } = await handle.write(data, at, data.length - at, position + at)
    at += bytesWritten
  }
}

/** Makes new, renamed and removed names of a folder last. */
async function syncFolder(folder: string): Promise<void> {
  // Windows does not open folders; it has nothing to sync there either.
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
