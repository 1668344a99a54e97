import { crc32 } from 'node:zlib'
import { toText } from '../../protocol/index.ts'

/** A packet on its way to Redis: the key as Redis knows it, the exact text or bytes. */
export type Item = { readonly transport: 'pubsub' | 'list'; readonly key: string; readonly wire: string | Buffer }

/** A packet in a backup file. */
export type BackupRecord = Item & {
  /** Goes up by one from packet to packet, over all files. */
  readonly number: number
  /** When it was written to the file, unix ms. */
  readonly atMs: number
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
export function formatRecord({ number, atMs, transport, key, wire, op }: BackupRecord): Buffer {
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
    const { n, at, transport, key, op, text, base64 } = JSON.parse(`${line.toString('utf8', 0, end)}}`) as Record<
      string,
      unknown
    >
    const wire =
      typeof text === 'string' ? text : typeof base64 === 'string' ? Buffer.from(base64, 'base64') : undefined
    if (
      typeof n !== 'number' ||
      typeof key !== 'string' ||
      (transport !== 'list' && transport !== 'pubsub') ||
      wire === undefined
    )
      return undefined
    return { number: n, atMs: Date.parse(String(at)), transport, key, wire, ...(typeof op === 'string' ? { op } : {}) }
  } catch {
    return undefined
  }
}
