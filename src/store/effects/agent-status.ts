import type { AgentStatus } from '../../protocol/index.ts'
import { toStamp, type Effect, type StoreEvent } from '../effect.ts'
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

/** These end whatever call the agent has. */
const ENDS_CALL = new Set(['wrapup', 'logging_out', 'offline'])

/** agents/status: the state per (ref, campaign), since when; one that cannot follow the former is flagged. */
export function agentStatus(event: StoreEvent<AgentStatus>): Effect {
  const { status, campaign_ref, ref } = event.payload
  const known = Object.keys(MAY_FOLLOW).join(',')
  return toEffect([
    [
      'agent_status',
      event.reference ?? ref ?? '',
      campaign_ref ?? '',
      status,
      toStamp(event),
      event.time,
      ENDS_CALL.has(status) ? '1' : '',
      Object.hasOwn(MAY_FOLLOW, status) ? known : '',
      mayComeBefore(status).join(','),
    ],
  ])
}
