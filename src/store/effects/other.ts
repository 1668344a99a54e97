import { toBase64 } from '../../protocol/index.ts'
import { toChange, type StoreEvent } from '../effect.ts'
import { toParts } from '../parts.ts'
import type { OtherRecord } from '../operator-types.ts'
import { step, toEffect, type Effect } from '../steps.ts'

/** Longest type (characters) under which notifications are counted. */
const MAX_TYPE = 200

/** other: the last thousand notifications without a route of their own, with their bytes, and a count per type. */
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
    ...parts.map((text, index) => step('part', { of: 'other', id: event.id, index: String(index), text })),
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
