import type { GapRecord, OtherRecord, RelayRecord } from '../../answers/index.ts'
import {
  callsEndedBy,
  isTooLarge,
  maskText,
  type RelayAlive,
  type RelayGap,
  type RelayParked,
  toBase64,
} from '../../protocol/index.ts'
import { toParts } from '../document.ts'
import {
  type Effect,
  numberOr,
  type StoreEvent,
  textOr,
  toChange,
  toEffect,
  toMs,
  toSource,
  toStamp,
} from '../effect.ts'
import { step } from '../steps.ts'
import type { StoredParked } from './park-effects.ts'

/* The notices of relays, and notifications without a route. */

/** Maximum characters of a type under which notifications are counted. */
const MAX_TYPE = 200

/** Creates the effect of a notification without a route: the last thousand are kept with their bytes, and counted per type. */
export function other(event: StoreEvent): Effect {
  const isText = typeof event.data === 'string'
  const parts = toParts(typeof event.data === 'string' ? event.data : toBase64(event.data))
  const type = `${event.type}/${event.subType}`
  const record: Omit<OtherRecord, 'text' | 'base64'> & { form: 'text' | 'base64' } = {
    notification_id: event.id,
    source: event.source,
    type,
    reason: event.reason ?? null,
    channel: event.channel,
    transport: event.transport,
    received_at: event.time,
    form: isText ? 'text' : 'base64',
  }
  return toEffect([
    ...parts.map((text, index) => step('part', { subject: 'other', id: event.id, index: String(index), text })),
    step('other', {
      id: event.id,
      type: type.slice(0, MAX_TYPE),
      parts: String(parts.length),
      ms: String(event.timeMs),
      json: JSON.stringify(record),
      change: toChange(event, { kind: 'other', ref: event.reference ?? '', state: event.reason }),
    }),
  ])
}

/** Creates the effect of relay/gap: a time span in which Pub/Sub could not be heard. Older states are unsure until they are heard again. */
export function relayGap(event: StoreEvent<RelayGap>): Effect {
  const p = event.payload
  const toMsUnix = toMs(p.to, event.timeMs)
  const record: GapRecord = {
    notification_id: event.id,
    source: p.source,
    relay: p.relay,
    from: new Date(toMs(p.from, toMsUnix)).toISOString(),
    to: new Date(toMsUnix).toISOString(),
    cause: p.cause,
    // The patterns in a source's configuration may contain anything.
    patterns: p.patterns.map(maskText),
    route: textOr(p.route),
    lost: numberOr(p.lost),
  }
  return toEffect([
    step('gap', {
      id: event.id,
      source: p.source,
      route: p.route ?? '',
      sequence: event.sequence,
      to_ms: String(toMsUnix),
      json: JSON.stringify(record),
      change: toChange(event, { kind: 'relay/gap', ref: p.source, state: p.cause }),
    }),
  ])
}

/** Creates the effect of relay/alive: a relay was ready at that time. */
export function relayAlive(event: StoreEvent<RelayAlive>): Effect {
  const p = event.payload
  const record: RelayRecord = {
    relay: p.relay,
    sources: p.sources,
    lists: p.lists ?? [],
    started_at: new Date(toMs(p.started, event.timeMs)).toISOString(),
    ready_at: new Date(event.timeMs).toISOString(),
  }
  const change = toChange(event, { kind: 'relay/alive', ref: p.relay })
  const takes = record.lists.flatMap((list) => callsEndedBy(list) ?? [])
  const ofSources = p.sources.flatMap((source) => takes.map((kind) => `${kind}|${toSource({ source })}`))
  return toEffect([
    step('alive', {
      relay: p.relay,
      stamp: toStamp(event),
      takes: ofSources.join(','),
      json: JSON.stringify(record),
      change,
    }),
  ])
}

/**
 * Creates the effect of relay/parked: the relay parked a notification, or has since sent or dropped it. Of several notices
 * about one notification, the latest wins.
 */
export function relayParked(event: StoreEvent<RelayParked>): Effect {
  const p = event.payload
  const parkedMs = toMs(p.parkedat, event.timeMs)
  const record: StoredParked = {
    from: 'relay',
    notification_ids: [p.id],
    source: p.source,
    route: p.route,
    type: p.type,
    subject: null,
    reason: p.reason,
    // The relay has masked the detail; an older or foreign relay may not have.
    detail: isTooLarge(p.detail) ? p.detail : maskText(p.detail),
    status: null,
    handler: null,
    attempts: null,
    received_at: new Date(toMs(p.received, event.timeMs)).toISOString(),
    first_attempt_at: null,
    parked_at: new Date(parkedMs).toISOString(),
    bytes: p.bytes,
    message_id: null,
    stale_at: null,
  }
  return toEffect([
    step('parked', {
      id: p.id,
      state: p.state,
      stamp: toStamp(event),
      ms: String(parkedMs),
      json: JSON.stringify(record),
      change: toChange(event, { kind: 'relay/parked', ref: p.id, state: p.state }),
    }),
  ])
}
