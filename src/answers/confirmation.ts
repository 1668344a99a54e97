import * as v from 'valibot'
import { campaignRef, maybeText, source, text, time } from './fields.ts'

/** What can be expected of each resource. `src/protocol/confirmations.ts` has what confirms and refutes it. */
export type Expected = {
  readonly campaigns: 'started' | 'stopped' | 'completed'
  readonly agents: 'available' | 'offline'
  /** A disposition is confirmed by the CDR of the call. */
  readonly calls: 'cdr'
}

const Decisive = v.pipe(
  v.object({
    id: text('The id of the notification.'),
    type: text('agents/status, campaigns/status or campaigns/cdr.'),
    state: maybeText('The state, or the end reason of a CDR.'),
    at: time('When it changed the read model.'),
    source,
    campaign_ref: campaignRef,
  }),
  v.metadata({ ref: 'DecisiveNotification', description: 'The notification that confirmed or refuted a request.' }),
)

export const Confirmation = v.pipe(
  v.object({
    outcome: v.pipe(
      v.picklist(['confirmed', 'failed', 'pending']),
      v.description('pending: no notification has confirmed or refuted the request yet.'),
    ),
    reason: maybeText('Why the request failed, as a sentence. Null if it did not fail.'),
    notification: v.pipe(
      v.nullable(Decisive),
      v.description('The notification that decided. Null while the request is pending.'),
    ),
    state: maybeText('The current state. Null if it is unknown, and for a call without its CDR.'),
    unsure: v.pipe(
      v.boolean(),
      v.description('A gap has occurred since this state was heard, so it may have changed.'),
    ),
    seen: v.pipe(v.array(v.string()), v.description('The intermediate states that were heard, in order.')),
    cursor: text('Send this as `after` of the next request while the outcome is pending.'),
    reset: v.pipe(
      v.boolean(),
      v.description(
        'True if `after` is too old: the changes before `cursor` are unknown. `state` is the current state.',
      ),
    ),
  }),
  v.metadata({
    ref: 'Confirmation',
    description: 'The outcome of a request to the dialler.',
    examples: [
      {
        outcome: 'confirmed',
        reason: null,
        notification: {
          id: 'main/p/1769846400000/17',
          type: 'campaigns/status',
          state: 'started',
          at: '2026-01-31T08:00:00.000Z',
          source: 'main',
          campaign_ref: null,
        },
        state: 'started',
        unsure: false,
        seen: [],
        cursor: '1769846400000-0',
        reset: false,
      },
    ],
  }),
)
export type Confirmation = v.InferOutput<typeof Confirmation>
