import * as v from 'valibot'
import { maybeText, text, time } from './fields.ts'

export const Change = v.pipe(
  v.object({
    at: time('When the read model was changed.'),
    type: text('The kind: agents/status, campaigns/cdr, relay/gap, parked, replays (of CDRs) …'),
    ref: text('The reference: of the agent, the campaign, the parked entry, the replay …'),
    campaign_ref: maybeText('The campaign.'),
    state: maybeText(
      'The new state, or the end reason of a CDR; null for a state that came late and is not the new one.',
    ),
    from: maybeText('The state before, if it was a word of small letters.'),
    call_ref: maybeText('The call of a CDR.'),
    source: maybeText('The id of the source; null for parked entries.'),
    transport: maybeText('list, pubsub, resync or relay; null for parked entries.'),
    sequence: maybeText('Orders the notifications of one source and transport; null for parked entries.'),
    notification_id: maybeText('The id of the notification; null for parked entries.'),
  }),
  v.metadata({
    ref: 'Change',
    description: 'That something changed, and what: the new state is in the answer of its own address.',
    examples: [
      {
        at: '2026-01-31T08:00:00.000Z',
        type: 'agents/status',
        ref: '1002',
        campaign_ref: '7',
        state: 'busy',
        from: 'available',
        call_ref: null,
        source: 'main',
        transport: 'pubsub',
        sequence: '0001769846400000.0000000017',
        notification_id: 'main/p/1769846400000/17',
      },
    ],
  }),
)
export type Change = v.InferOutput<typeof Change>

export const ChangesPage = v.object({
  items: v.pipe(v.array(Change), v.description('In the order in which they were made.')),
  cursor: text('For `after` of the next request.'),
  more: v.pipe(v.boolean(), v.description('There are more: ask at once.')),
  reset: v.pipe(
    v.boolean(),
    v.description('`after` is too old, or too much has changed since: read everything anew, then go on from `cursor`.'),
  ),
})
export type ChangesPage = v.InferOutput<typeof ChangesPage>
