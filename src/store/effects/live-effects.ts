import type { Call, StateChange } from '../../answers/index.ts'
import {
  type AgentCall,
  type AgentStats,
  type AgentStatus,
  type CampaignStats,
  type CampaignStatus,
  type DialerStatus,
  type DialPreview,
  type InboundCall,
  isIdentifier,
} from '../../protocol/index.ts'
import { toParts } from '../document.ts'
import {
  type Effect,
  plain,
  type StoreEvent,
  textOr,
  toChange,
  toEffect,
  toReceivedAt,
  toSource,
  toStamp,
  toState,
} from '../effect.ts'
import { step } from '../steps.ts'
import { toNumbers } from './cdr-effects.ts'

/**
 * The states that may follow each state. A state that is not listed may follow, and be followed by, any state. Source: the vendor's page
 * Agent Status. A failed login goes straight to offline, and an agent may log out while available or in wrapup.
 */
const MAY_FOLLOW: Readonly<Record<string, readonly string[]>> = {
  offline: ['logging_in'],
  logging_in: ['available', 'offline'],
  available: ['busy', 'logging_out'],
  busy: ['wrapup', 'logging_out'],
  wrapup: ['available', 'logging_out'],
  logging_out: ['offline'],
}

/** Returns the states that may precede this one; empty if any state may. */
function mayComeBefore(status: string): string[] {
  if (!Object.hasOwn(MAY_FOLLOW, status)) return []
  return Object.keys(MAY_FOLLOW).filter((former) => MAY_FOLLOW[former]?.includes(status))
}

/**
 * What a state implies for the agent's call: `busy` (has one), `wrapup` (had one until now) or `none`. Other states imply nothing.
 * `available` ends a call too, since the `wrapup` before it may have been lost.
 */
const IMPLIES_OF_CALL: Readonly<Record<string, 'busy' | 'wrapup' | 'none'>> = {
  busy: 'busy',
  wrapup: 'wrapup',
  available: 'none',
  logging_in: 'none',
  logging_out: 'none',
  offline: 'none',
}

/**
 * Creates the effect of agents/status: the state per agent and campaign, and since when. A state that cannot follow the previous one is
 * flagged.
 */
export function agentStatus(event: StoreEvent<AgentStatus>): Effect {
  const { status, campaign_ref, ref } = event.payload
  const isKnown = Object.hasOwn(MAY_FOLLOW, status)
  // After a gap, any state may follow any other.
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
      at: toReceivedAt(event),
      implies: isKnown ? (IMPLIES_OF_CALL[status] ?? '') : '',
      known: isJudged ? Object.keys(MAY_FOLLOW).join(',') : '',
      may_come_before: mayComeBefore(status).join(','),
      change: toChange(event, { kind: 'agents/status', ref: agent, campaign_ref: campaign, state }),
    }),
  ])
}

/** Creates the effect of agents/call: the agent's current call, for the screen pop. A stale call is only recorded. */
export const agentCall = (event: StoreEvent<AgentCall>): Effect => callEffect(event, 'outbound')

/** Creates the effect of inbound/call: the same for an inbound call. */
export const inboundCall = (event: StoreEvent<InboundCall>): Effect => callEffect(event, 'inbound')

function callEffect(event: StoreEvent<AgentCall | InboundCall>, direction: Call['direction']): Effect {
  const p = event.payload
  // Diallers before 3.0.0 send `inbound` in place of the campaign.
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
    received_at: toReceivedAt(event),
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

/** Of two copies of a call, the one with the greater rank is shown. */
const [STALE, OUTBOUND, INBOUND] = ['0', '1', '2']

/** Creates the effect of campaigns/status: the state and its history. */
export const campaignStatus = (event: StoreEvent<CampaignStatus>): Effect => toEffectOn(event, 'campaign')

/** Creates the effect of dialers/status: the same for a dialler. A dialler without a reference is named after its source. */
export const dialerStatus = (event: StoreEvent<DialerStatus>): Effect => toEffectOn(event, 'dialer')

function toEffectOn(event: StoreEvent<CampaignStatus | DialerStatus>, subject: 'campaign' | 'dialer'): Effect {
  const { ref } = event.payload
  const status = toState(event.payload.status)
  const reference = event.reference || ref || (subject === 'dialer' ? event.source : '')
  const change: StateChange = { status, at: toReceivedAt(event), source: event.source, notification_id: event.id }
  return toEffect([
    step('state', {
      subject,
      ref: reference,
      status,
      stamp: toStamp(event),
      ms: String(Math.round(event.timeMs)),
      at: toReceivedAt(event),
      source: event.source,
      id: plain(event.id),
      json: JSON.stringify(change),
      change: toChange(event, { kind: `${subject}s/status`, ref: reference, state: status }),
    }),
  ])
}

/** Gauges, which rise and fall. All other values are counters: a decrease means that the dialler has reset them. */
const GAUGE = /^callees_(remaining|queued)$/

/** Creates the effect of agents/stats: the latest values and a short time series, per source and campaign. */
export const agentStats = (event: StoreEvent<AgentStats>): Effect => toStats(event, 'agent')

/** Creates the effect of campaigns/stats: the same per source. */
export const campaignStats = (event: StoreEvent<CampaignStats>): Effect => toStats(event, 'campaign')

function toStats(event: StoreEvent<AgentStats | CampaignStats>, subject: 'agent' | 'campaign'): Effect {
  const values: Record<string, number> = {}
  const counters: string[] = []
  for (const [name, value] of Object.entries(event.payload)) {
    if (isIdentifier(name)) continue
    const number =
      typeof value === 'number' ? value : typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN
    if (!Number.isFinite(number)) continue
    values[name] = number
    if (!GAUGE.test(name)) counters.push(plain(name), String(number))
  }
  const ref = event.reference || event.payload.ref || ''
  const campaign = subject === 'agent' ? plain(textOr(event.payload['campaign_ref']) ?? '') : ''
  return toEffect([
    step(
      'stats',
      {
        subject,
        ref,
        campaign,
        stamp: toStamp(event),
        at: toReceivedAt(event),
        values: JSON.stringify(values),
        change: toChange(event, { kind: `${subject}s/stats`, ref, campaign_ref: campaign }),
      },
      counters,
    ),
  ])
}

/**
 * Creates the effect of campaigns/dial_preview: the contacts that will be dialled next. The list is written in parts under the
 * notification's own key. One step then replaces the previous list, so no reader sees half of it.
 */
export function dialPreview(event: StoreEvent<DialPreview>): Effect {
  const reference = event.reference ?? event.payload.ref ?? ''
  // A missing number or contact_ref becomes null, as everywhere in the read model.
  const callees = event.payload.callees.map((callee) => ({
    ...callee,
    number: textOr(callee.number),
    contact_ref: textOr(callee.contact_ref),
  }))
  const parts = toParts(JSON.stringify(callees))
  return toEffect([
    ...parts.map((text, index) => step('part', { subject: 'preview', id: event.id, index: String(index), text })),
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
