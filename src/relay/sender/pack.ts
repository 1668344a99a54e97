import { hash } from 'node:crypto'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { CONTENT_ENCODING, GZIP, joinEvents, type Route } from '../../protocol/index.ts'
import type { Item } from '../item.ts'

/** What one SQS message carries. Frozen once sent: it is retried as it was, so that SQS can tell a copy. */
export type Pack = {
  readonly items: readonly Item[]
  readonly body: string
  /** Of the body and its attribute, as SQS counts them. */
  readonly bytes: number
  readonly gzipped: boolean
  /** A hash of all ids, so that another pack never looks like a copy. */
  readonly deduplicationId: string
}

const compress = promisify(gzip)

/** What the attribute `content-encoding` adds to a message: name, type and value are counted. */
const ATTRIBUTE_BYTES = CONTENT_ENCODING.length + 'String'.length + GZIP.length

/** How many of the items that wait go into one pack: as many as its limits allow, at least one. */
export function countForPack(waiting: readonly Item[], from: number, route: Route, maxBytes: number): number {
  const most = Math.min(route.packBytes, maxBytes)
  let bytes = 1
  let count = 0
  while (from + count < waiting.length && count < route.packNotifications) {
    bytes += (waiting[from + count] as Item).bytes + 1
    if (count > 0 && bytes > most) break
    count++
  }
  return count
}

/** A pack of these items, or undefined when it must be gzipped first (`toGzippedPack`). */
export function toPack(items: readonly Item[], maxBytes: number): Pack | undefined {
  const bytes = items.reduce((sum, item) => sum + item.bytes + 1, items.length > 1 ? 1 : -1)
  if (bytes > maxBytes) return undefined
  return {
    items,
    body: joinEvents(items.map((item) => item.event)),
    bytes,
    gzipped: false,
    deduplicationId: deduplicationId(items),
  }
}

/** The same, gzipped, as base64; undefined when it is still too large. */
export async function toGzippedPack(items: readonly Item[], maxBytes: number): Promise<Pack | undefined> {
  const body = (await compress(joinEvents(items.map((item) => item.event)))).toString('base64')
  const bytes = body.length + ATTRIBUTE_BYTES
  return bytes > maxBytes ? undefined : { items, body, bytes, gzipped: true, deduplicationId: deduplicationId(items) }
}

function deduplicationId(items: readonly Item[]): string {
  return hash('sha256', items.map((item) => item.id).join('\n'), 'hex')
}
