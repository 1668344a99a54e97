import { readFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { open, appendFile, rename, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { DatabaseSync } from 'node:sqlite'
import { toText } from '../../protocol/index.ts'
import { ProducerError } from '../connection.ts'

/** A place in the backup files: behind `offset` bytes of `file`. */
export type Position = {
  readonly file: string
  readonly offset: number
  /** The number of the last packet before it. */
  readonly number: number
}

const NAME = /^\d{16}-[0-9a-f]{8}\.jsonl$/

/** A file's name: the number of its first packet, so that names sort in the order of the packets, and the run that made it. */
export const formatFileName = (firstNumber: number, run: string): string =>
  `${String(firstNumber).padStart(16, '0')}-${run}.jsonl`

export const isFileName = (name: string): boolean => NAME.test(name)

export const firstNumberOf = (name: string): number => Number(name.slice(0, 16))

export const formatPosition = ({ file, offset, number }: Position): string => `${file}:${offset}:${number}`

/** The inverse of `formatPosition`; undefined for anything else. */
export function parsePosition(text: string): Position | undefined {
  const [file = '', offset = '', number = '', ...rest] = text.split(':')
  if (!NAME.test(file) || !/^\d+$/.test(offset) || !/^\d+$/.test(number) || rest.length > 0) return undefined
  return { file, offset: Number(offset), number: Number(number) }
}

/** A packet on its way to Redis: the key as Redis knows it, the exact text or bytes. */
export type Item = { readonly transport: 'pubsub' | 'list'; readonly key: string; readonly wire: string | Buffer }

/** A packet in a backup file. */
export type BackupRecord = Item & {
  /** Goes up by one from packet to packet, over all files. */
  readonly number: number
  /** The command that may have brought it to Redis, if its answer was lost. */
  readonly op?: string | undefined
}

const CRC = ',"crc":"'

const checksum = (bytes: string | Buffer): string => crc32(bytes).toString(16).padStart(8, '0')

/**
 * One JSON line: `{"n":41,"at":"2025-11-24T16:00:09.123Z","transport":"list","key":"enigma:…","text":"{…}","crc":"9ab31f00"}`. Bytes
 * that are no UTF-8 are in `base64` instead of `text`. `crc` is the CRC-32 of all that stands before it: a disk may bring back a
 * line that is still JSON and not what was written.
 */
export function formatRecord({ number, transport, key, wire, op }: BackupRecord, atMs: number): Buffer {
  const text = typeof wire === 'string' ? wire : toText(wire)
  const data = text === undefined ? { base64: (wire as Buffer).toString('base64') } : { text }
  const line = JSON.stringify({ n: number, at: new Date(atMs).toISOString(), transport, key, op, ...data }).slice(0, -1)
  return Buffer.from(`${line}${CRC}${checksum(line)}"}\n`)
}

/** The inverse of `formatRecord`, without the line's end. Undefined when the line is not what was written. */
export function parseRecord(line: Buffer): BackupRecord | undefined {
  const end = line.lastIndexOf(CRC)
  if (end < 0 || line.toString('latin1', end) !== `${CRC}${checksum(line.subarray(0, end))}"}`) return undefined
  try {
    const record = JSON.parse(`${line.toString('utf8', 0, end)}}`) as Record<string, unknown>
    const { n: number, transport, key, op, text, base64 } = record
    const wire = typeof base64 === 'string' ? Buffer.from(base64, 'base64') : text
    if (typeof number !== 'number' || typeof key !== 'string') return undefined
    if (transport !== 'list' && transport !== 'pubsub') return undefined
    if (typeof wire !== 'string' && !Buffer.isBuffer(wire)) return undefined
    return { number, transport, key, wire, ...(typeof op === 'string' ? { op } : {}) }
  } catch {
    return undefined
  }
}

/** A line without its end, and the offset behind it. `isWhole` is false for a last line that was never ended. */
export type Line = { readonly bytes: Buffer; readonly end: number; readonly isWhole: boolean }

const READ_BYTES = 256 * 1024

/** The next lines of a file from offset `from` to `to`: as many as are in 256 KiB, and at least one; the last one may be empty. */
export async function readLines(file: string, from: number, to: number): Promise<Line[]> {
  const handle = await open(file, 'r')
  try {
    for (let size = Math.min(READ_BYTES, to - from); size > 0; size = Math.min(size * 2, to - from)) {
      const buffer = Buffer.alloc(size)
      const { bytesRead } = await handle.read(buffer, 0, size, from)
      const bytes = buffer.subarray(0, bytesRead)
      const lines: Line[] = []
      for (let at = 0, end = bytes.indexOf(10); end >= 0; at = end + 1, end = bytes.indexOf(10, at)) {
        lines.push({ bytes: bytes.subarray(at, end), end: from + end + 1, isWhole: true })
      }
      const rest = bytes.subarray((lines.at(-1)?.end ?? from) - from)
      // The end, or somebody has cut the file meanwhile.
      if (from + size >= to || bytesRead < size) {
        if (rest.length > 0 || lines.length === 0) lines.push({ bytes: rest, end: to, isWhole: false })
        return lines
      }
      if (lines.length > 0) return lines
    }
    return []
  } finally {
    await handle.close()
  }
}

/** The number of the last packet in a file that can be read. */
export function lastNumberIn(folder: string, file: string): number {
  const bytes = readFileSync(join(folder, file))
  for (let end = bytes.length; end > 0;) {
    const start = bytes.lastIndexOf(10, end - 1) + 1
    const record = parseRecord(bytes.subarray(start, end))
    if (record !== undefined) return record.number
    end = start - 1
  }
  return firstNumberOf(file) - 1
}

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
