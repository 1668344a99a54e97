import type { DialPreview } from '../../protocol/index.ts'
import { textOr, toStamp, type Effect, type StoreEvent } from '../effect.ts'
import { toEffect } from '../to-effect.ts'
import { toParts } from '../parts.ts'

/**
 * campaigns/dial_preview: who will be dialled next. The list is written in parts under the notification's own key and then put in
 * the place of the former one in one step, so that nobody reads half of it.
 */
export function dialPreview(event: StoreEvent<DialPreview>): Effect {
  const reference = event.reference ?? event.payload.ref ?? ''
  // A callee without one of the two has null there, as everywhere in the read model.
  const callees = event.payload.callees.map((callee) => ({
    ...callee,
    number: textOr(callee.number),
    contact_ref: textOr(callee.contact_ref),
  }))
  const parts = toParts(JSON.stringify(callees))
  return toEffect([
    ...parts.map((part, index) => ['part', 'preview', event.id, String(index), part] as const),
    ['preview', reference, event.id, String(parts.length), toStamp(event), event.time] as const,
  ])
}
