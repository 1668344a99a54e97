import { hash } from 'node:crypto'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { CONTENT_ENCODING, GZIP, joinEvents, textOf, type Route } from '../../protocol/index.ts'
import type { Item } from '../item.ts'

/** What one message carries. Frozen once sent: a retry sends it as it was, so that SQS recognises a copy. */
export type Pack = {
  readonly items: readonly Item[]
  /** The body in gzip and base64; undefined: the body is what `bodyOf` returns. */
  readonly gzipped: string | undefined
  /** Of the body and its attribute, as SQS counts them. */
  readonly bytes: number
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
  return bytes > maxBytes ? undefined : { items, gzipped: undefined, bytes, deduplicationId: deduplicationId(items) }
}

/** The same, gzipped, as base64; undefined when it is still too large. */
export async function toGzippedPack(items: readonly Item[], maxBytes: number): Promise<Pack | undefined> {
  const gzipped = (await compress(joinEvents(items.map(textOf)))).toString('base64')
  const bytes = gzipped.length + ATTRIBUTE_BYTES
  return bytes > maxBytes ? undefined : { items, gzipped, bytes, deduplicationId: deduplicationId(items) }
}

/** The body of the message as text. */
export const bodyOf = ({ items, gzipped }: Pack): string => gzipped ?? joinEvents(items.map(textOf))

function deduplicationId(items: readonly Item[]): string {
  return hash('sha256', items.map((item) => item.id).join('\n'), 'hex')
}
