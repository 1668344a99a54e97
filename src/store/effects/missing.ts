import type { MissingCdr } from '../../answers/index.ts'
import { plain, toSource } from '../effect.ts'
import { step, toEffect, type Effect } from '../steps.ts'
import type { AwaitedCall } from '../types.ts'

/** Lists a call as one whose CDR is missing, unless its CDR has come meanwhile. The CDR takes it off the list, however late it comes. */
export function missingCdr({ stamp, callRef, handedMs, record }: AwaitedCall, nowMs: number): Effect {
  const listed: MissingCdr = { ...record, listed_at: new Date(nowMs).toISOString() }
  const { source, agent, campaign_ref, left_at, notification_id } = listed
  const change = (state: string): string =>
    JSON.stringify({ kind: 'missing', ref: agent, campaign_ref: campaign_ref ?? undefined, state, source })
  return toEffect([
    step('missing', {
      agent,
      source: toSource({ source }),
      call_ref: callRef,
      stamp,
      left_ms: left_at === null ? '' : String(Date.parse(left_at)),
      id: plain(notification_id),
      ms: String(handedMs),
      json: JSON.stringify(listed),
      change: change('missing'),
      change_back: change('arrived'),
    }),
  ])
}
