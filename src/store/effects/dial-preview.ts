import type { DialPreview } from '../../protocol/index.ts'
import { textOr, toChange, toStamp, type StoreEvent } from '../effect.ts'
import { toParts } from '../parts.ts'
import { step, toEffect, type Effect } from '../steps.ts'

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
    ...parts.map((text, index) => step('part', { of: 'preview', id: event.id, index: String(index), text })),
    step('preview', {
      ref: reference,
      id: event.id,
      parts: String(parts.length),
      stamp: toStamp(event),
      at: event.time,
      change: toChange(event, { kind: 'campaigns/dial_preview', ref: reference }),
    }),
  ])
}
