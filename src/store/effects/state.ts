import type { CampaignStatus, DialerStatus } from '../../protocol/index.ts'
import { plain, toReceived, toStamp, toState, type Effect, type StoreEvent } from '../effect.ts'
import { toEffect } from '../to-effect.ts'
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
    [
      'state',
      of,
      reference,
      status,
      toStamp(event),
      String(Math.round(event.timeMs)),
      toReceived(event),
      event.source,
      plain(event.id),
      JSON.stringify(change),
    ],
  ])
}
