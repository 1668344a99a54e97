import type { AgentStatus } from '../../protocol/index.ts'
import { plain, toChange, toReceived, toStamp, toState, type StoreEvent } from '../effect.ts'
import { step, toEffect, type Effect } from '../steps.ts'

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
      known: isKnown ? Object.keys(MAY_FOLLOW).join(',') : '',
      may_come_before: mayComeBefore(status).join(','),
      change: toChange(event, { kind: 'agents/status', ref: agent, campaign_ref: campaign, state }),
    }),
  ])
}
