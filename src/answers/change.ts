import * as v from 'valibot'
import { maybeText, text, time } from './fields.ts'

export const Change = v.pipe(
  v.object({
    at: time('When the read model changed.'),
    type: text('What kind of entry changed: agents/status, campaigns/cdr, relay/gap, parked, replays (of CDRs) …'),
    ref: text('The reference or id of the entry: an agent, a campaign, a parked entry, a replay …'),
    campaign_ref: maybeText('The campaign.'),
    state: maybeText(
      'The new state, or the end reason of a CDR. Null for a state that arrived late and is not the current one.',
    ),
    from: maybeText('The previous state, if it consists of lower-case letters and underscores.'),
    call_ref: maybeText('The `call_ref` of a CDR.'),
    source: maybeText('The id of the source; null for parked entries.'),
    transport: maybeText('list, pubsub, resync or relay; null for parked entries.'),
    sequence: maybeText('Orders the notifications of one source and transport; null for parked entries.'),
    notification_id: maybeText('The id of the notification; null for parked entries.'),
  }),
  v.metadata({
    ref: 'Change',
    description: 'A change of one entry. Read the entry itself for its full content.',
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
  items: v.pipe(v.array(Change), v.description('The changes, in the order in which they were made.')),
  cursor: text('Send this as `after` of the next request.'),
  more: v.pipe(v.boolean(), v.description('True if there are more changes: ask again at once.')),
  reset: v.pipe(
    v.boolean(),
    v.description(
      'True if `after` is too old or too much has changed since: read everything again, then continue from `cursor`.',
    ),
  ),
})
export type ChangesPage = v.InferOutput<typeof ChangesPage>
