/**
 * What confirms or refutes a request to the dialler's HTTP API, which answers before the work is done and returns no request id.
 * Sources: the vendor's pages Agent Status and Campaign Status. Agent: offline → logging_in → available → busy → wrapup → available;
 * busy → logging_out → offline. Campaign: started → stopping → stopped, and completed once every contact was dialled and no retry is left.
 */

/** A change of state that says that the request will not be fulfilled. */
export type Refutation = {
  /** The state before it. Absent: any. */
  readonly from?: string
  readonly to: string
  /** What it means, as a sentence for a human. */
  readonly reason: string
}

/** A row of the table. */
export type Confirmation = {
  /** The first part of a resource: `campaigns` of `campaigns/7`. */
  readonly resource: string
  readonly expect: string
  /** Notifications of this kind tell. */
  readonly type: string
  /** The usual states on the way. They decide nothing, and no other state does. */
  readonly via: readonly string[]
  /** The state that confirms. Absent: any notification of that kind does. */
  readonly confirmedBy?: string
  readonly refutedBy: readonly Refutation[]
}

/**
 * A state that also ends an earlier request decides nothing, since that one may still be under way. `stopped` does not refute `started`: a campaign
 * that was stopping when it was asked to start stops first. For the same reason `offline` refutes `available` only behind `logging_in`.
 */
export const CONFIRMATIONS = [
  {
    resource: 'campaigns',
    expect: 'started',
    type: 'campaigns/status',
    via: [],
    confirmedBy: 'started',
    refutedBy: [{ to: 'completed', reason: 'The campaign is completed: it has nothing left to dial.' }],
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
    refutedBy: [{ from: 'logging_in', to: 'offline', reason: 'The login failed: the agent went straight to offline.' }],
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
  // A disposition of a call. Nothing refutes it.
  { resource: 'calls', expect: 'cdr', type: 'campaigns/cdr', via: [], refutedBy: [] },
] as const satisfies readonly Confirmation[]

/** What the state of a resource has become, and what it was. */
export type HeardState = {
  readonly from: string | null
  readonly state: string | null
  /** Read from what the dialler keeps, not heard: it says what is so, and not what came after a request. */
  readonly isResync: boolean
}

export type Verdict = 'confirmed' | 'undecided' | Refutation

/** Judges a request by a notification of its resource that came after it. */
export function judgeRequest(row: Confirmation, { from, state, isResync }: HeardState): Verdict {
  if (row.confirmedBy === undefined || state === row.confirmedBy) return 'confirmed'
  if (isResync) return 'undecided'
  const refutes = (one: Refutation) => one.to === state && (one.from === undefined || one.from === from)
  return row.refutedBy.find(refutes) ?? 'undecided'
}
