import { toBase64 } from '../../protocol/index.ts'
import { type Effect, type StoreEvent } from '../effect.ts'
import { toEffect } from '../to-effect.ts'
import { toParts } from '../parts.ts'
import type { OtherRecord } from '../operator-types.ts'

/** Longest type (characters) under which notifications are counted. */
const MOST_TYPE = 200

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
    ...parts.map((part, index) => ['part', 'other', event.id, String(index), part] as const),
    [
      'other',
      event.id,
      type.slice(0, MOST_TYPE),
      String(parts.length),
      String(event.timeMs),
      JSON.stringify(record),
    ] as const,
  ])
}
