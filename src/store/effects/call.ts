import type { AgentCall, InboundCall } from '../../protocol/index.ts'
import { plain, textOr, toChange, toReceived, toSource, toStamp, type StoreEvent } from '../effect.ts'
import { toNumbers } from './phone-numbers.ts'
import { step, toEffect, type Effect } from '../steps.ts'
import type { Call } from '../types.ts'

/** agents/call: the agent's current call, for the screen pop; a stale one is only recorded. */
export const agentCall = (event: StoreEvent<AgentCall>): Effect => toCall(event, 'outbound')

/** inbound/call: the same for a call that came in. */
export const inboundCall = (event: StoreEvent<InboundCall>): Effect => toCall(event, 'inbound')

function toCall(event: StoreEvent<AgentCall | InboundCall>, direction: Call['direction']): Effect {
  const p = event.payload
  // Before 3.0.0, inbound calls say so in place of a campaign.
  const isInbound = direction === 'inbound' || p['call_dir'] === 'inbound' || p.campaign_ref === 'inbound'
  const campaign = p.campaign_ref === 'inbound' ? null : textOr(p.campaign_ref)
  const call: Omit<Call, 'stale'> = {
    source: event.source,
    call_ref: textOr(p.call_ref),
    contact_ref: textOr(p.contact_ref),
    number: textOr(p.number),
    dial_number: textOr(p['dial_number']),
    campaign_ref: campaign,
    agent: textOr(p.agent),
    direction: isInbound ? 'inbound' : 'outbound',
    received_at: toReceived(event),
    notification_id: event.id,
  }
  const ref = event.reference || textOr(p.ref) || textOr(p.agent) || ''
  return toEffect([
    step('call', {
      ref,
      campaign: plain(campaign ?? ''),
      source: toSource(event),
      call_ref: plain(call.call_ref ?? ''),
      numbers: toNumbers(call.number, call.dial_number),
      stamp: toStamp(event),
      ms: String(Math.round(event.timeMs)),
      rank: event.stale ? STALE : isInbound ? INBOUND : OUTBOUND,
      stale_at: event.staleAtMs === undefined ? '' : String(event.staleAtMs),
      id: plain(event.id),
      json: JSON.stringify(call),
      change: toChange(event, { kind: `${event.type}/${event.subType}`, ref, campaign_ref: campaign ?? undefined }),
    }),
  ])
}

/** Of two copies of a call the greater one is shown. */
const [STALE, OUTBOUND, INBOUND] = ['0', '1', '2']
