import { hash } from 'node:crypto'
import {
  formatEvent,
  isObject,
  isTooLarge,
  maskText,
  parseEvents,
  parseEventType,
  readPacketText,
  textOf,
  toBytes,
  toText,
  type Notification,
} from '../../protocol/index.ts'
import { scanObject } from '../../protocol/text.ts'
import type { Item } from '../item.ts'

/** An entry of the parked list, as written by `formatParked`. */
export type ParkedEntry = {
  readonly kind: 'parked'
  /** The exact bytes of the list's element, by which it is removed. */
  readonly raw: Buffer
  /** The id of the notification. Several entries may have the same id: after a crash during parking, the relay parks the notification again. */
  readonly id: string
  readonly reason: string
  /** The detail as stored, and so perhaps not masked; see `maskDetail`. */
  readonly detail: string
  /** When the notification was parked, ISO 8601. */
  readonly parkedat: string
  /** The name of the notification's route at that time. */
  readonly route: string
  /** The CloudEvent as text. */
  readonly event: string
  readonly notification: Notification
}

/** An element of the list that no relay wrote, or that is damaged. */
type UnreadableEntry = {
  readonly kind: 'unreadable'
  readonly raw: Buffer
  /** `unreadable/<hash of its bytes>`: names the element for showing and dropping it. */
  readonly id: string
  /** Why it cannot be read. Never contains words of its content. */
  readonly why: string
}

export type Entry = ParkedEntry | UnreadableEntry

/** The reason that unreadable entries have in filters. */
export const UNREADABLE = 'unreadable'

const ID = /^[\x21-\x7e]{1,200}$/
const NAME = /^[A-Za-z0-9_-]{1,128}$/

/**
 * Formats an entry of the parked list as JSON: `{"id","reason","detail","parkedat","route","event"}`. `event` is the whole CloudEvent with the
 * packet's bytes, so that the notification can be inspected and sent again unchanged.
 */
export function formatParked(item: Item, reason: string, detail: string, nowMs: number): string {
  const parkedat = new Date(nowMs).toISOString()
  return withEvent({ id: item.id, reason, detail, parkedat, route: item.route.name }, textOf(item))
}

const withEvent = (head: object, event: string) => `${JSON.stringify(head).slice(0, -1)},"event":${event}}`

const LINE_END = /[\n\r]/

/** Returns an entry as one line that reads back as the same entry, with the fields of `more` first. */
function formatLine(entry: ParkedEntry, more: { readonly source?: string } = {}): string {
  const { id, reason, detail, parkedat, route, event, notification } = entry
  // A packet may span several lines. Its bytes are then encoded as base64.
  const line = LINE_END.test(event) ? formatEvent({ ...notification, data: toBytes(notification.data) }) : event
  return withEvent({ ...more, id, reason, detail, parkedat, route }, line)
}

/** Returns one line of JSON with everything known about an entry, including personal data. An unreadable entry is included as base64. */
export function formatExportLine(entry: Entry, source: string): string {
  if (entry.kind === 'parked') return formatLine(entry, { source })
  const { id, kind: reason, why: detail, raw } = entry
  return JSON.stringify({ source, id, reason, detail, entry_base64: raw.toString('base64') })
}

/** Returns the text of an entry as one line. */
export function toOneLine(text: string): string {
  if (!LINE_END.test(text)) return text
  const entry = readEntry(Buffer.from(text))
  return entry.kind === 'parked' ? formatLine(entry) : text.replace(/[\n\r]+/g, ' ')
}

/** Reads an element of the parked list; the inverse of `formatParked`. Never throws. */
export function readEntry(raw: Buffer): Entry {
  const unreadable = (why: string): UnreadableEntry => {
    const id = `${UNREADABLE}/${hash('sha256', raw, 'hex').slice(0, 16)}`
    return { kind: 'unreadable', raw, id, why }
  }
  const text = toText(raw)
  if (text === undefined) return unreadable('not UTF-8')
  let head: unknown
  try {
    head = JSON.parse(text)
  } catch {
    return unreadable('not JSON')
  }
  if (!isObject(head)) return unreadable('not a JSON object')
  const { id, reason, detail: words, parkedat, route } = head
  if (typeof id !== 'string' || !ID.test(id)) return unreadable('no valid id')
  if (typeof reason !== 'string' || !NAME.test(reason)) return unreadable('no valid reason')
  if (typeof route !== 'string' || !NAME.test(route)) return unreadable('no valid route')
  if (typeof parkedat !== 'string' || Number.isNaN(Date.parse(parkedat))) return unreadable('no valid time')
  const event = isObject(head['event']) ? scanObject(text).get('event') : undefined
  const notification = event === undefined ? undefined : readNotification(event)
  if (event === undefined || notification === undefined) return unreadable('no readable event')
  if (notification.id !== id) return unreadable('its event has another id')
  const detail = typeof words === 'string' ? words : ''
  return { kind: 'parked', raw, id, reason, detail, parkedat, route, event, notification }
}

function readNotification(event: string): Notification | undefined {
  try {
    return parseEvents(event)[0]
  } catch {
    return undefined
  }
}

/** Returns the packet's payload, if it has one. */
export const payloadOf = ({ data }: Notification): unknown =>
  typeof data === 'string' ? readPacketText(data).packet?.payload : undefined

const CONTROL = /\p{Cc}+/gu

/**
 * Masks the detail that a target gave about a notification, so that it can be logged, announced and kept: it may quote the packet, and so personal
 * data. Returns one line of at most 300 characters.
 */
export function maskDetail(detail: string, event: string): string {
  const notification = readNotification(event)
  // Masked before it is cut, so that no part of a value remains.
  return maskText(detail.replace(CONTROL, ' '), notification && payloadOf(notification)).slice(0, 300)
}

/** Returns an event's type if a relay assigned it. Any other type may contain anything and must not be shown. */
export const knownType = (type: string): string =>
  parseEventType(type) === undefined ? 'enigma.unknown.unknown' : type.replace(CONTROL, ' ')

/** Returns the fields of an entry that may be shown, without personal data: the same fields as in the notice about it. */
export const toShown = ({ id, route, reason, detail, parkedat, event, notification }: ParkedEntry, source: string) => ({
  source,
  id,
  route,
  reason,
  detail: isTooLarge(detail) ? detail : maskDetail(detail, event),
  received: notification.time,
  parkedat,
  bytes: Buffer.byteLength(event),
  type: knownType(notification.type),
})
