import { isTooLarge, maskText, type RelayParked } from '../../protocol/index.ts'
import { toChange, toMs, toStamp, type StoreEvent } from '../effect.ts'
import type { StoredParked } from './park.ts'
import { step, toEffect, type Effect } from '../steps.ts'

/**
 * relay/parked: what the relay put aside, and that it was sent again or dropped since. Of one notification the last that was said
 * counts.
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
    // The relay has masked it; an older or a foreign one may not have.
    detail: isTooLarge(p.detail) ? p.detail : maskText(p.detail),
    status: null,
    handler: null,
    attempts: null,
    received_at: new Date(toMs(p.received, event.timeMs)).toISOString(),
    first_attempt_at: null,
    parked_at: new Date(parkedMs).toISOString(),
    bytes: p.bytes,
    message_id: null,
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
