import type { AgentCall, AgentStatus, InboundCall } from '../../protocol/index.ts'
import { plain, type StoreEvent, textOr, toChange, toReceived, toSource, toStamp, toState } from '../effect.ts'
import { type Effect, step, toEffect } from '../steps.ts'
import { toNumbers } from '../terms.ts'
import type { Call } from '../../answers/index.ts'

/**
 * The states that may follow a state; what is not in the table may follow and be followed by anything. Source: the vendor's page
 * Agent Status; a login that fails goes straight to offline, and an agent may log out while available or in wrapup.
 */
const MAY_FOLLOW: Readonly<Record<string, readonly string[]>> = {
  offline: ['logging_in'],
  logging_in: ['available', 'offline'],
  available: ['busy', 'logging_out'],
  busy: ['wrapup', 'logging_out'],
  wrapup: ['available', 'logging_out'],
  logging_out: ['offline'],
}

/** The states that the given one may follow; empty when anything may come before it. */
function mayComeBefore(status: string): string[] {
  if (!Object.hasOwn(MAY_FOLLOW, status)) return []
  return Object.keys(MAY_FOLLOW).filter((former) => MAY_FOLLOW[former]?.includes(status))
}

/**
 * What a state says of the call that the agent had: it has one, or had one until now, or has none. Any other word says nothing.
 * `available` is among those that end a call, since the `wrapup` before it may have been lost.
 */
const SAYS_OF_CALL: Readonly<Record<string, 'busy' | 'wrapup' | 'none'>> = {
  busy: 'busy',
  wrapup: 'wrapup',
  available: 'none',
  logging_in: 'none',
  logging_out: 'none',
  offline: 'none',
}

/** agents/status: the state per (ref, campaign), since when; one that cannot follow the former is flagged. */
export function agentStatus(event: StoreEvent<AgentStatus>): Effect {
  const { status, campaign_ref, ref } = event.payload
  const isKnown = Object.hasOwn(MAY_FOLLOW, status)
  // Behind a gap any state may follow any.
  const isJudged = isKnown && event.transport !== 'resync'
  const agent = event.reference || ref || ''
  const campaign = plain(campaign_ref ?? '')
  const state = plain(toState(status))
  return toEffect([
    step('agent_status', {
      ref: agent,
      campaign,
      status: state,
      stamp: toStamp(event),
      at: toReceived(event),
      says: isKnown ? (SAYS_OF_CALL[status] ?? '') : '',
      known: isJudged ? Object.keys(MAY_FOLLOW).join(',') : '',
      may_come_before: mayComeBefore(status).join(','),
      change: toChange(event, { kind: 'agents/status', ref: agent, campaign_ref: campaign, state }),
    }),
  ])
}

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
      kind: direction === 'inbound' ? 'inbound/call' : 'agents/call',
      change: toChange(event, { kind: `${event.type}/${event.subType}`, ref, campaign_ref: campaign ?? undefined }),
    }),
  ])
}

/** Of two copies of a call the greater one is shown. */
const [STALE, OUTBOUND, INBOUND] = ['0', '1', '2']
