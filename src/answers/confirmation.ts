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
    at: time('When the read model was changed by it.'),
    source,
    campaign_ref: campaignRef,
  }),
  v.metadata({ ref: 'DecisiveNotification', description: 'The notification that confirmed or refuted a request.' }),
)

export const Confirmation = v.pipe(
  v.object({
    outcome: v.pipe(
      v.picklist(['confirmed', 'failed', 'pending']),
      v.description('pending: nothing has confirmed or refuted the request yet.'),
    ),
    reason: maybeText('Why the request failed, as a sentence; null if it did not.'),
    notification: v.pipe(v.nullable(Decisive), v.description('What decided; null while the request is pending.')),
    state: maybeText('The present state; null if none is known, and of a call without its CDR.'),
    unsure: v.pipe(v.boolean(), v.description('There was a gap since: the present state may have changed.')),
    seen: v.pipe(v.array(v.string()), v.description('The states that were heard on the way, in their order.')),
    cursor: text('For `after` of the next request, while the request is pending.'),
    reset: v.pipe(
      v.boolean(),
      v.description(
        '`after` is too old: there is no telling what happened before `cursor`. `state` is the present one.',
      ),
    ),
  }),
  v.metadata({
    ref: 'Confirmation',
    description: 'What has become of a request to the dialler.',
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
