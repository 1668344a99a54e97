/*
 * The notifications that confirm or refute a request to the dialler's HTTP API. That API answers before the work is done, and returns no
 * request id. Sources: the vendor's pages Agent Status and Campaign Status. Agent: offline → logging_in → available → busy → wrapup → available;
 * busy → logging_out → offline. Campaign: started → stopping → stopped, and completed once every contact was dialled and no retry is left.
 */

/** A change of state that proves that the request will not be fulfilled. */
export type Refutation = {
  /** The state before the change. Absent: any state. */
  readonly from?: string
  readonly to: string
  /** The meaning of the change, as a sentence for humans. */
  readonly reason: string
}

/** A row of the table: one resource and the state that a request expects. */
export type Confirmation = {
  /** The first part of a resource: `campaigns` of `campaigns/7`. */
  readonly resource: string
  readonly expect: string
  /** The kind of notification that decides. */
  readonly type: string
  /** The usual intermediate states. They are for display only and decide nothing. */
  readonly via: readonly string[]
  /** The state that confirms the request. Absent: any notification of that kind confirms it. */
  readonly confirmedBy?: string
  readonly refutedBy: readonly Refutation[]
}

/**
 * The table of all requests. A state that also ends an earlier request decides nothing, because the earlier request may still be in progress.
 * For example, `stopped` does not refute `started`: if a campaign is still stopping when it is asked to start, it stops first. For the same
 * reason, `offline` refutes `available` only after `logging_in`.
 */
export const CONFIRMATIONS = [
  {
    resource: 'campaigns',
    expect: 'started',
    type: 'campaigns/status',
    via: [],
    confirmedBy: 'started',
    refutedBy: [{ to: 'completed', reason: 'The campaign is completed and has nothing left to dial.' }],
  },
  {
    resource: 'campaigns',
    expect: 'stopped',
    type: 'campaigns/status',
    via: ['stopping'],
    confirmedBy: 'stopped',
    refutedBy: [
      { to: 'completed', reason: 'The campaign was completed before it could be stopped.' },
      { from: 'stopping', to: 'started', reason: 'The campaign was stopping, and has started again.' },
    ],
  },
  {
    resource: 'campaigns',
    expect: 'completed',
    type: 'campaigns/status',
    via: ['stopping', 'stopped'],
    confirmedBy: 'completed',
    refutedBy: [{ from: 'stopping', to: 'started', reason: 'The campaign was stopping, and has started again.' }],
  },
  {
    resource: 'agents',
    expect: 'available',
    type: 'agents/status',
    via: ['logging_in'],
    confirmedBy: 'available',
    refutedBy: [
      { from: 'logging_in', to: 'offline', reason: 'The login failed, and the agent went straight to offline.' },
    ],
  },
  {
    resource: 'agents',
    expect: 'offline',
    type: 'agents/status',
    via: ['logging_out'],
    confirmedBy: 'offline',
    refutedBy: [
      { from: 'logging_out', to: 'logging_in', reason: 'The agent was logging out, and is logging in again.' },
      { from: 'logging_out', to: 'available', reason: 'The agent was logging out, and is available again.' },
    ],
  },
  // Setting the disposition of a call. Nothing refutes it.
  { resource: 'calls', expect: 'cdr', type: 'campaigns/cdr', via: [], refutedBy: [] },
] as const satisfies readonly Confirmation[]

/** The new state of a resource, and the previous one. */
export type HeardState = {
  readonly from: string | null
  readonly state: string | null
  /** The state was read from the dialler's hashes (a resync). It is the present state, and may be older than the request. */
  readonly isResync: boolean
}

export type Verdict = 'confirmed' | 'undecided' | Refutation

/** Decides whether a notification confirms or refutes an earlier request for the same resource. */
export function judgeRequest(row: Confirmation, { from, state, isResync }: HeardState): Verdict {
  if (row.confirmedBy === undefined || state === row.confirmedBy) return 'confirmed'
  if (isResync) return 'undecided'
  const refutes = (one: Refutation) => one.to === state && (one.from === undefined || one.from === from)
  return row.refutedBy.find(refutes) ?? 'undecided'
}
