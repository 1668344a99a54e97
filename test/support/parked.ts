import { OTHER, textOf } from '../../src/protocol/index.ts'
import { toItem, type Item } from '../../src/relay/item.ts'
import { formatParked } from '../../src/relay/parking/parked-entry.ts'
import { createAcknowledger } from './items.ts'
import { stamp } from './routes.ts'

export const PARKED_LIST = 'enigma:relay:parked'

/** When entry 0 was parked. Each later entry was parked a second after the previous one. */
export const PARKED_MS = Date.parse('2026-01-31T10:00:00.000Z')

export type ParkedOptions = {
  /** The packet's bytes. Default: a CDR with a phone number. */
  readonly packet?: string | Uint8Array
  /** The list's key, or the channel. */
  readonly key?: string
  readonly reason?: string
  readonly detail?: string
  /** The type of the event. Default: the type that the relay derives from key and packet. */
  readonly type?: string
}

export const cdr = (n: number, reference: number | string = n): string =>
  `{"type":"cdr","payload":{"call_ref":${reference},"n":${n},"number":"2782555${String(n).padStart(4, '0')}"}}`

/** Creates the `n`th entry as a relay parks it, with the id `main/l/1764000000000/<n>`. */
export function parkedEntry(
  n: number,
  {
    packet = cdr(n),
    key = 'enigma:notifications:campaigns',
    reason = 'refused',
    detail = 'InvalidMessageContents: no',
    type,
  }: ParkedOptions = {},
) {
  const bytes = typeof packet === 'string' ? Buffer.from(packet) : Buffer.from(packet)
  const stamped = stamp(bytes, {
    sourceId: 'main',
    transport: 'list',
    channel: key,
    number: 1_764_000_000_000,
    index: n,
    timeMs: PARKED_MS - 5_000,
  })
  const item: Item = toItem(stamped, createAcknowledger().acknowledger, n)
  const changed: Item =
    type === undefined ? item : { ...item, route: OTHER, head: item.head.replace(/"type":"[^"]*"/, `"type":"${type}"`) }
  return {
    id: item.id,
    bytes,
    event: textOf(changed),
    entry: formatParked(changed, reason, detail, PARKED_MS + n * 1_000),
  }
}

export const parkedEntries = (count: number, options?: (n: number) => ParkedOptions) =>
  Array.from({ length: count }, (_, n) => parkedEntry(n, options?.(n)))

export async function toArray<T>(all: AsyncIterable<T>): Promise<T[]> {
  const array: T[] = []
  for await (const one of all) array.push(one)
  return array
}
