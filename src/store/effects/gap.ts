import { maskText, type RelayGap } from '../../protocol/index.ts'
import { textOr, numberOr, toChange, toMs, type StoreEvent } from '../effect.ts'
import type { GapRecord } from '../operator-types.ts'
import { step, toEffect, type Effect } from '../steps.ts'

/** relay/gap: a span in which PubSub was not heard. States from before it are unsure until they are heard again. */
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
    // A pattern of a source's own configuration may name anything.
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
