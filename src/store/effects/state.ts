import type { CampaignStatus, DialerStatus } from '../../protocol/index.ts'
import { plain, toChange, toReceived, toStamp, toState, type StoreEvent } from '../effect.ts'
import { step, toEffect, type Effect } from '../steps.ts'
import type { StateChange } from '../types.ts'

/** campaigns/status: the state and its history. */
export const campaignStatus = (event: StoreEvent<CampaignStatus>): Effect => toEffectOn(event, 'campaign')

/** dialers/status: the same for a dialler; one that names no reference is called after its source. */
export const dialerStatus = (event: StoreEvent<DialerStatus>): Effect => toEffectOn(event, 'dialer')

function toEffectOn(event: StoreEvent<CampaignStatus | DialerStatus>, of: 'campaign' | 'dialer'): Effect {
  const { ref } = event.payload
  const status = toState(event.payload.status)
  const reference = event.reference || ref || (of === 'dialer' ? event.source : '')
  const change: StateChange = { status, at: toReceived(event), source: event.source, notification_id: event.id }
  return toEffect([
    step('state', {
      of,
      ref: reference,
      status,
      stamp: toStamp(event),
      ms: String(Math.round(event.timeMs)),
      at: toReceived(event),
      source: event.source,
      id: plain(event.id),
      json: JSON.stringify(change),
      change: toChange(event, { kind: `${of}s/status`, ref: reference, state: status }),
    }),
  ])
}
