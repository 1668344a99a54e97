import type { AgentStatus } from '../../protocol/index.ts'
import { plain, toReceived, toStamp, toState, type Effect, type StoreEvent } from '../effect.ts'
import { toEffect } from '../to-effect.ts'

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
  return toEffect([
    [
      'agent_status',
      event.reference || ref || '',
      plain(campaign_ref ?? ''),
      plain(toState(status)),
      toStamp(event),
      toReceived(event),
      isKnown ? (SAYS_OF_CALL[status] ?? '') : '',
      isKnown ? Object.keys(MAY_FOLLOW).join(',') : '',
      mayComeBefore(status).join(','),
    ],
  ])
}
