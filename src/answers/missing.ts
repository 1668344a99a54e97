import * as v from 'valibot'
import { campaignRef, maybeText, pageOf, source, text, time } from './fields.ts'

export const MissingCdr = v.pipe(
  v.object({
    notification_id: text('The id of the notification that assigned the call to the agent.'),
    source,
    call_ref: text("The dialler's reference of the call, which its CDR would have too."),
    agent: text("The agent's extension."),
    campaign_ref: campaignRef,
    contact_ref: maybeText('The reference of the contact in your own records.'),
    number: maybeText("The subscriber's number."),
    direction: v.picklist(['inbound', 'outbound']),
    handed_at: time('When the call was assigned to the agent.'),
    left_at: v.pipe(
      v.nullable(v.pipe(v.string(), v.isoTimestamp())),
      v.description('The latest time at which the agent left the call. Null if no state shows it. ISO 8601, UTC.'),
    ),
    listed_at: time('When the call was added to this list.'),
  }),
  v.metadata({
    ref: 'MissingCdr',
    description: 'A call that its agent has left and whose CDR has not arrived.',
    examples: [
      {
        notification_id: 'main/p/1769846400000/17',
        source: 'main',
        call_ref: '90071992547409931',
        agent: '1002',
        campaign_ref: '7',
        contact_ref: 'A-1001',
        number: '+15550100',
        direction: 'outbound',
        handed_at: '2026-01-31T08:00:00.000Z',
        left_at: '2026-01-31T08:03:10.000Z',
        listed_at: '2026-01-31T08:20:00.000Z',
      },
    ],
  }),
)
export type MissingCdr = v.InferOutput<typeof MissingCdr>

export const MissingPage = pageOf(MissingCdr)
export type MissingPage = v.InferOutput<typeof MissingPage>
