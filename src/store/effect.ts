import type { Transport } from '../protocol/index.ts'

/** What an effect is made of: what the adapter's `event(c, schema)` gives. */
export type StoreEvent<Payload = unknown> = {
  readonly id: string
  /** The source's id: `main`. */
  readonly source: string
  readonly type: string
  readonly subType: string
  readonly reference?: string | undefined
  /** ISO 8601. */
  readonly time: string
  readonly timeMs: number
  readonly transport: Transport
  readonly channel: string
  readonly sequence: string
  readonly stale: boolean
  /** Unix ms from which it is stale, for an effect that is committed late; absent where it never is. */
  readonly staleAtMs?: number | undefined
  readonly reason?: string | undefined
  readonly payload: Payload
  /** The packet, exactly as received. */
  readonly data: string | Uint8Array
}

/** One step of the script `apply`: its name and its arguments. */
export type Op = readonly [name: string, ...args: string[]]

/**
 * A change of the read model: plain data, made by a handler and committed with all others of its batch. Applied twice it changes
 * nothing the second time; applied late it overwrites nothing newer.
 */
export type Effect = { readonly ops: readonly Op[] }

/** Longest state (characters) that is kept: it is a word, and each of a hundred in a history has one. */
const MAX_STATE = 200

/** A state as it is kept: one that is too long for a word loses its end, or a history of such would be larger than any reply may be. */
export const toState = (text: string): string => text.slice(0, MAX_STATE)

/** A text without the characters that separate the parts of a value in the read model. */
export const plain = (text: string): string => text.replace(/[\u001e\u001f]/g, ' ')

/**
 * What orders two notifications: `source|transport|sequence|unix ms|id`. The sequence compares within one source and transport,
 * else the time does.
 */
export function toStamp(event: Pick<StoreEvent, 'source' | 'transport' | 'sequence' | 'timeMs' | 'id'>): string {
  return plain(
    `${toSource(event)}|${event.transport}|${event.sequence.replaceAll('|', '_')}|${Math.round(event.timeMs)}|${event.id}`,
  )
}

/** The source as stamps have it. */
export const toSource = ({ source }: Pick<StoreEvent, 'source'>): string => plain(source.replaceAll('|', '_'))

/** When it was received: ISO 8601 in UTC, whatever form a foreign event gives. */
export const toReceived = ({ timeMs }: Pick<StoreEvent, 'timeMs'>): string => new Date(timeMs).toISOString()

/** Unix ms of a time, or of another where it cannot be read. */
export function toMs(time: string, otherwise: number): number {
  const ms = Date.parse(time)
  return Number.isNaN(ms) ? otherwise : ms
}

/** Text or null. */
export const textOr = (value: unknown): string | null =>
  typeof value === 'string' && value !== ''
    ? value
    : typeof value === 'number' || typeof value === 'bigint'
      ? String(value)
      : null

/** Finite number or null. */
export const numberOr = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : null
