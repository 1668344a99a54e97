import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { toText } from '../../protocol/index.ts'

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
