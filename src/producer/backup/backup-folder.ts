import { readFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { open, appendFile, rename, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { DatabaseSync } from 'node:sqlite'
import { toText } from '../../protocol/index.ts'
import { ProducerError } from '../connection.ts'

/** A position in the backup files: after `offset` bytes of `file`. */
export type Position = {
  readonly file: string
  readonly offset: number
  /** The number of the last packet before it. */
  readonly number: number
}

const NAME = /^\d{16}-[0-9a-f]{8}\.jsonl$/

/** Returns a file's name: the number of its first packet, so that names sort in the order of the packets, and the run that made it. */
export const formatFileName = (firstNumber: number, run: string): string =>
  `${String(firstNumber).padStart(16, '0')}-${run}.jsonl`

export const isFileName = (name: string): boolean => NAME.test(name)

export const firstNumberOf = (name: string): number => Number(name.slice(0, 16))

export const formatPosition = ({ file, offset, number }: Position): string => `${file}:${offset}:${number}`

/** Parses a position; the inverse of `formatPosition`. Returns undefined for anything else. */
export function parsePosition(text: string): Position | undefined {
  const [file = '', offset = '', number = '', ...rest] = text.split(':')
  if (!NAME.test(file) || !/^\d+$/.test(offset) || !/^\d+$/.test(number) || rest.length > 0) return undefined
  return { file, offset: Number(offset), number: Number(number) }
}

/** A packet on its way to Redis: the key as Redis knows it, and the exact text or bytes. */
export type Item = { readonly transport: 'pubsub' | 'list'; readonly key: string; readonly wire: string | Buffer }

/** A packet in a backup file. */
export type BackupRecord = Item & {
  /** Rises by one from packet to packet, across all files. */
  readonly number: number
  /** The command that may have written it to Redis, if its answer was lost. */
  readonly op?: string | undefined
}

const CRC = ',"crc":"'

const checksum = (bytes: string | Buffer): string => crc32(bytes).toString(16).padStart(8, '0')

/**
 * Formats a record as one JSON line: `{"n":41,"at":"2025-11-24T16:00:09.123Z","transport":"list","key":"enigma:…","text":"{…}","crc":"9ab31f00"}`.
 * Bytes that are not UTF-8 are in `base64` instead of `text`. `crc` is the CRC-32 of everything before it: a damaged disk may return a line that is
 * still valid JSON, but differs from the written line.
 */
export function formatRecord({ number, transport, key, wire, op }: BackupRecord, atMs: number): Buffer {
  const text = typeof wire === 'string' ? wire : toText(wire)
  const data = text === undefined ? { base64: (wire as Buffer).toString('base64') } : { text }
  const line = JSON.stringify({ n: number, at: new Date(atMs).toISOString(), transport, key, op, ...data }).slice(0, -1)
  return Buffer.from(`${line}${CRC}${checksum(line)}"}\n`)
}

/** Parses a line without its end; the inverse of `formatRecord`. Returns undefined when the line differs from what was written. */
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

/** A line without its end, and the offset after it. `isWhole` is false for a last line that was never ended. */
export type Line = { readonly bytes: Buffer; readonly end: number; readonly isWhole: boolean }

const READ_BYTES = 256 * 1024

/** Reads the next lines of a file from offset `from` to `to`: as many as fit into 256 KiB, and at least one. The last one may be empty. */
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
      // This is the end of the file, or another process has truncated the file meanwhile.
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

/** Returns the number of the last readable packet in a file. */
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

/* The durable parts of a backup folder: its lock, its state, its records, and files that are appended to. */

/**
 * Locks a folder for this process until it is released. The lock is SQLite's lock on a file: the system releases it when the process dies, even on
 * `kill -9`, and it works between containers that share the folder, where process ids mean nothing. @throws ProducerError `producer.backup.locked`
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

/** The state of a folder, in a file next to those of the packets. */
type State = {
  /** A random word, part of the key under which Redis knows the folder. */
  readonly id: string
  /** Every packet before this position is pushed. */
  readonly position?: Position | undefined
}

const STATE_FILE = 'state.json'

const formatState = ({ id, position }: State): string =>
  `${JSON.stringify({ id, ...(position && { position: formatPosition(position) }) })}\n`

/** Reads the state; undefined when there is none, or when it cannot be read. */
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

/** Replaces the state in one step: after a crash, either the old or the new one is there. */
export async function writeState(folder: string, state: State): Promise<void> {
  const next = join(folder, `${STATE_FILE}.next`)
  await writeFile(next, formatState(state), { mode: 0o600, flush: true })
  await rename(next, join(folder, STATE_FILE))
  await syncFolder(folder)
}

/** Keeps an unreadable line beside its file, in `<file>.damaged`, so that a human can inspect it. */
export const keepDamaged = (folder: string, file: string, line: Buffer): Promise<void> =>
  appendFile(join(folder, `${file}.damaged`), Buffer.concat([line, Buffer.from('\n')]), { mode: 0o600, flush: true })

/** Creates a file for appending. It must not exist yet. */
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
    /** The bytes of the file that are safely on disk. */
    get bytes() {
      return bytes
    },
    get isBroken() {
      return isBroken
    },
    /** Resolves when all data is on disk. When it rejects, none of the data counts, and the file must not be used again if `isBroken`. */
    append: async (data: Buffer): Promise<void> => {
      try {
        await writeAll(handle, data, bytes)
        await handle.datasync()
        bytes += data.length
      } catch (error) {
        // A full disk accepts the first half of a line, which is cut off again. After a failed sync, the content of the disk is unknown.
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

/** Makes new, renamed and removed names in a folder durable. */
async function syncFolder(folder: string): Promise<void> {
  // Windows does not open folders, and has nothing to sync there.
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
