import { toBytes } from '../../protocol/index.ts'
import { plain, toChange, toReceived, toStamp, type StoreEvent } from '../effect.ts'
import { EffectError } from '../errors.ts'
import { step, toEffect, type Effect } from '../steps.ts'
import type { KindValue } from '../types.ts'

/** Upstash sends values in base64, a third larger, and no reply over 1 MB: a larger value could be written and never read. */
const MOST_VALUE_BYTES = 512 * 1024

/**
 * Any kind: the latest payload of a reference, and those before it. A payload is kept as JSON, integers beyond what a number holds as text.
 *
 * @example record(c, latest(await event(c, route)))
 * @throws EffectError when it is larger than the read model accepts
 */
export function latest(event: StoreEvent): Effect {
  const value: Omit<KindValue, 'stale'> = {
    notification_id: event.id,
    source: event.source,
    received_at: toReceived(event),
    payload: event.payload ?? null,
  }
  const json = JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner))
  if (toBytes(json).length > MOST_VALUE_BYTES)
    throw new EffectError(`the payload has more than ${MOST_VALUE_BYTES} bytes, which latest does not keep`)
  const [kind, ref] = [`${event.type}/${event.subType}`, event.reference ?? '']
  return toEffect([
    step('latest', {
      kind,
      ref,
      stamp: toStamp(event),
      ms: String(Math.round(event.timeMs)),
      id: plain(event.id),
      stale_at: event.stale ? '0' : String(event.staleAtMs ?? ''),
      json,
      change: toChange(event, { kind, ref }),
    }),
  ])
}
