import {
  formatEvent,
  formatEventType,
  formatId,
  formatSequence,
  formatTraceparent,
  isObject,
  laneOf,
  orderKey,
  OTHER,
  RELAY_ROUTES,
  RELAY_TYPE,
  toEventSource,
  toText,
  type RelayAlive,
  type RelayGap,
  type RelayParked,
  type Route,
} from '../../protocol/index.ts'
import { RELAY_PREFIX } from '../redis/keys.ts'
import type { Stamped } from './stamp.ts'

/** What the relay says itself, and its payload. */
export type Notice =
  | { readonly subType: 'alive'; readonly payload: RelayAlive }
  | { readonly subType: 'gap'; readonly payload: RelayGap }
  | { readonly subType: 'parked'; readonly payload: RelayParked }

/** What is known of a notice besides its packet. Its number is one that nothing else of the source has. */
export type NoticeOrigin = {
  readonly sourceId: string
  readonly number: number
  readonly index: number
  readonly timeMs: number
}

/** `enigma:relay:main`: no dialler writes there, and PubSub on it is not listened to. */
export const noticeChannel = (sourceId: string): string => RELAY_PREFIX + sourceId

export const isNoticeChannel = (channel: string): boolean => channel.startsWith(RELAY_PREFIX)

/** The packet of a notice, as it is kept in the journal. */
export function formatNotice({ subType, payload }: Notice): Buffer {
  return Buffer.from(JSON.stringify({ type: subType, payload }))
}

/** Makes a packet of `formatNotice` a notification of the source it is about; its subject is the parked id, the relay that lives, or the source. */
export function stampNotice(packet: Uint8Array, { sourceId, number, index, timeMs }: NoticeOrigin): Stamped {
  const data = toText(packet) ?? ''
  const { type: subType, payload } = JSON.parse(data) as { type: string; payload: unknown }
  const named = isObject(payload) ? payload[subType === 'alive' ? 'relay' : 'id'] : undefined
  const subject = typeof named === 'string' ? named : sourceId
  const route: Route = Object.hasOwn(RELAY_ROUTES, subType) ? RELAY_ROUTES[subType as Notice['subType']] : OTHER
  const id = formatId(sourceId, 'relay', number, index)
  const event = formatEvent({
    id,
    source: toEventSource(sourceId),
    type: formatEventType(RELAY_TYPE, subType),
    subject,
    time: new Date(timeMs).toISOString(),
    datacontenttype: 'application/json',
    data,
    transport: 'relay',
    channel: noticeChannel(sourceId),
    sequence: formatSequence(number, index),
    traceparent: formatTraceparent(sourceId, 'relay', number, index),
  })
  return {
    id,
    route,
    lane: laneOf(orderKey(subject, payload), route.lanes),
    head: event,
    data: undefined,
    bytes: Buffer.byteLength(event),
    receivedMs: timeMs,
    reason: undefined,
  }
}
