import { hash } from 'node:crypto'
import {
  isObject,
  isTooLarge,
  maskText,
  parseEvents,
  parseEventType,
  readPacketText,
  toText,
  type Notification,
  type RelayParked,
} from '../../protocol/index.ts'
import { scanObject } from '../../protocol/scan.ts'

/** An entry of the parked list, as `formatParked` wrote it. */
export type ParkedEntry = {
  readonly kind: 'parked'
  /** The very bytes of the list's element: it is removed by them. */
  readonly raw: Buffer
  /** The notification's. Several entries may have it: a crash parks once more. */
  readonly id: string
  readonly reason: string
  /** As it stands there, and so perhaps not masked; see `masked`. */
  readonly detail: string
  /** ISO 8601: when it was put aside. */
  readonly parkedat: string
  /** The name of the route that it was on then. */
  readonly route: string
  /** The CloudEvent's own text. */
  readonly event: string
  readonly notification: Notification
}

/** What is in the list and is no entry of a relay's, or a damaged one. */
export type UnreadableEntry = {
  readonly kind: 'unreadable'
  readonly raw: Buffer
  /** `unreadable/<hash of its bytes>`: it can be looked at and dropped by this name. */
  readonly id: string
  /** Why it cannot be read; never words of its content. */
  readonly why: string
}

export type Entry = ParkedEntry | UnreadableEntry

/** The reason of what cannot be read, where a reason is asked for. */
export const UNREADABLE = 'unreadable'

const ID = /^[\x21-\x7e]{1,200}$/
const NAME = /^[A-Za-z0-9_-]{1,128}$/

/** Reads an element of the parked list; the inverse of `formatParked`. Never throws. */
export function readEntry(raw: Buffer): Entry {
  const unreadable = (why: string): UnreadableEntry => ({
    kind: 'unreadable',
    raw,
    id: `${UNREADABLE}/${hash('sha256', raw, 'hex').slice(0, 16)}`,
    why,
  })
  const text = toText(raw)
  if (text === undefined) return unreadable('not UTF-8')
  let head: unknown
  try {
    head = JSON.parse(text)
  } catch {
    return unreadable('not JSON')
  }
  if (!isObject(head)) return unreadable('not a JSON object')
  const { id, reason, detail, parkedat, route } = head
  if (typeof id !== 'string' || !ID.test(id)) return unreadable('no valid id')
  if (typeof reason !== 'string' || !NAME.test(reason)) return unreadable('no valid reason')
  if (typeof route !== 'string' || !NAME.test(route)) return unreadable('no valid route')
  if (typeof parkedat !== 'string' || Number.isNaN(Date.parse(parkedat))) return unreadable('no valid time')
  const event = isObject(head['event']) ? scanObject(text).get('event') : undefined
  const notification = event === undefined ? undefined : readNotification(event)
  if (event === undefined || notification === undefined) return unreadable('no readable event')
  if (notification.id !== id) return unreadable('its event has another id')
  return {
    kind: 'parked',
    raw,
    id,
    reason,
    detail: typeof detail === 'string' ? detail : '',
    parkedat,
    route,
    event,
    notification,
  }
}

function readNotification(event: string): Notification | undefined {
  try {
    return parseEvents(event)[0]
  } catch {
    return undefined
  }
}

/** The packet's payload, if it has one. */
export function payloadOf({ notification }: ParkedEntry): unknown {
  return typeof notification.data === 'string' ? readPacketText(notification.data).packet?.payload : undefined
}

const CONTROL = /\p{Cc}+/gu

/** A text about an entry, such as what SQS says of it, that may be shown: personal data masked, one line, at most 300 characters. */
export function masked(text: string, entry: ParkedEntry): string {
  return maskText(text.replace(CONTROL, ' '), payloadOf(entry)).slice(0, 300)
}

/** What may be shown of an entry, without personal data: the fields of the notice about it. */
export type Shown = Pick<
  RelayParked,
  'source' | 'id' | 'route' | 'reason' | 'detail' | 'received' | 'parkedat' | 'bytes' | 'type'
>

export function toShown(entry: ParkedEntry, source: string): Shown {
  const { id, route, reason, detail, parkedat, event, notification } = entry
  return {
    source,
    id,
    route,
    reason,
    detail: isTooLarge(detail) ? detail : masked(detail, entry),
    received: notification.time,
    parkedat,
    bytes: Buffer.byteLength(event),
    type:
      parseEventType(notification.type) === undefined
        ? 'enigma.unknown.unknown'
        : notification.type.replace(CONTROL, ' '),
  }
}
