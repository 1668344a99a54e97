import type { CampaignStatus, DialerStatus } from '../../protocol/index.ts'
import { toStamp, type Effect, type StoreEvent } from '../effect.ts'
import { toEffect } from '../to-effect.ts'
import type { StateChange } from '../types.ts'

/** campaigns/status: the state and its history. */
export const campaignStatus = (event: StoreEvent<CampaignStatus>): Effect => toState(event, 'campaign')

/** dialers/status: the same for a dialler; one that names no reference is called after its source. */
export const dialerStatus = (event: StoreEvent<DialerStatus>): Effect => toState(event, 'dialer')

function toState(event: StoreEvent<CampaignStatus | DialerStatus>, of: 'campaign' | 'dialer'): Effect {
  const { status, ref } = event.payload
  const reference = event.reference || ref || (of === 'dialer' ? event.source : '')
  const change: StateChange = { status, at: event.time, source: event.source, notification_id: event.id }
  return toEffect([
    [
      'state',
      of,
      reference,
      status,
      toStamp(event),
      String(event.timeMs),
      event.time,
      event.source,
      event.id,
      JSON.stringify(change),
    ],
  ])
}
