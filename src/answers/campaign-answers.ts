import * as v from 'valibot'
import { Stats } from './agent-answers.ts'
import { campaignRef, count, maybeText, pageOf, source, text, time } from './answer-fields.ts'

const campaign = {
  ref: text("The dialler's reference of the campaign or dialler."),
  status: maybeText(
    'started, stopping, stopped, completed, or another state that a newer dialler sends. Null if no state was heard yet.',
  ),
  since: v.pipe(
    v.nullable(v.pipe(v.string(), v.isoTimestamp())),
    v.description('When this state was first heard. ISO 8601, UTC.'),
  ),
  source: maybeText('The id of the source, as named in ENIGMA_SOURCES.'),
  unsure: v.pipe(
    v.boolean(),
    v.description(
      'A gap has occurred since this state was heard, so it may have changed. False once the state is heard again.',
    ),
  ),
}

export const Campaign = v.pipe(
  v.object(campaign),
  v.metadata({
    ref: 'Campaign',
    description: 'The current state of a campaign, or of a dialler.',
    examples: [{ ref: '7', status: 'started', since: '2026-01-31T08:00:00.000Z', source: 'main', unsure: false }],
  }),
)
export type Campaign = v.InferOutput<typeof Campaign>

export const StateChange = v.pipe(
  v.object({
    status: v.string(),
    at: time('When the relay received it.'),
    source,
    notification_id: text('The id of the notification.'),
  }),
  v.metadata({ ref: 'StateChange' }),
)
export type StateChange = v.InferOutput<typeof StateChange>

// The API passes on unknown fields of a callee unchanged.
export const Callee = v.pipe(
  v.objectWithRest(
    {
      number: maybeText('The phone number of the contact.'),
      contact_ref: maybeText('The reference of the contact in your own records.'),
    },
    v.unknown(),
  ),
  v.metadata({ ref: 'Callee', description: 'A contact that will be dialled soon.' }),
)
export type Callee = v.InferOutput<typeof Callee>

export const Preview = v.pipe(
  v.object({ at: time('When the relay received it.'), callees: v.array(Callee) }),
  v.metadata({
    ref: 'Preview',
    description: 'The contacts that will be dialled next, from the latest list that the dialler sent.',
  }),
)
export type Preview = v.InferOutput<typeof Preview>

export const HourCount = v.pipe(
  v.object({
    hour: time('Start of the hour in which the calls were dialled.'),
    end_reason: v.string(),
    count: count('Number of CDRs.'),
  }),
  v.metadata({ ref: 'HourCount' }),
)
export type HourCount = v.InferOutput<typeof HourCount>

const seconds = (description: string) => v.pipe(v.nullable(v.number()), v.description(description))

export const Today = v.pipe(
  v.object({
    since: time('Start of the day in the time zone of the stack (`timeZone`).'),
    cdrs: count('Number of CDRs whose `dialed_at` is today.'),
    end_reasons: v.pipe(v.record(v.string(), v.number()), v.description('Number of CDRs by end reason.')),
    answered: count('Number of CDRs with an extension and a `call_time` above 0.'),
    average_talk_time: seconds('Average `call_time` of answered calls, in seconds. Null without answered calls.'),
    average_hold_time: seconds('Average `hold_time` of answered calls, in seconds. Null without answered calls.'),
  }),
  v.metadata({ ref: 'Today', description: "Figures from a campaign's CDRs of today." }),
)
export type Today = v.InferOutput<typeof Today>

export const CampaignOverview = v.pipe(
  v.object({
    ...campaign,
    today: Today,
    agents: v.pipe(v.record(v.string(), v.number()), v.description('Number of agents by status in this campaign.')),
  }),
  v.metadata({
    ref: 'CampaignOverview',
    description: 'The state of a campaign, its agents by status, and its CDR figures of today.',
  }),
)
export type CampaignOverview = v.InferOutput<typeof CampaignOverview>

export const CampaignDetail = v.pipe(
  v.object({
    ...campaign,
    today: Today,
    history: v.pipe(v.array(StateChange), v.description('The latest 100 state changes, newest first.')),
    stats: v.pipe(v.array(Stats), v.description('One entry per source; `campaign_ref` is null.')),
    counts: v.pipe(v.array(HourCount), v.description('Number of CDRs of the last three days, by hour and end reason.')),
  }),
  v.metadata({ ref: 'CampaignDetail', description: 'A campaign with its history, counters and CDR counts.' }),
)
export type CampaignDetail = v.InferOutput<typeof CampaignDetail>

export const CampaignsPage = pageOf(CampaignOverview)
export type CampaignsPage = v.InferOutput<typeof CampaignsPage>

export const Dialers = v.object({ items: v.array(Campaign) })
export type Dialers = v.InferOutput<typeof Dialers>

const maybeNumber = (description: string) => v.pipe(v.nullable(v.number()), v.description(description))

const cdr = {
  id: text(
    'Id of the CDR for `GET /cdrs/{id}`. It stays the same for as long as the CDR is kept, and reveals nothing about its content.',
  ),
  source,
  call_ref: maybeText(
    "The dialler's reference of the call. Unique only in combination with `source`, `dialed_at` and `number`.",
  ),
  dialed_at: time(
    'When the call was dialled. If that is unknown, this is the time at which the relay received the CDR, and `unsure` contains `dialed_at`.',
  ),
  campaign_ref: campaignRef,
  extension: maybeText("The agent's extension. Null if no agent was reached."),
  contact_ref: maybeText('The reference of the contact in your own records.'),
  number: maybeText("The subscriber's number."),
  dial_number: maybeText('The number as it was dialled.'),
  end_reason: maybeText(
    'hungup, callee_hungup, agent_hungup, voicemail, busy, reject, timeout, error, failed, or another value from the dialler.',
  ),
  end_code: maybeNumber('The Q.850 cause code.'),
  call_time: maybeNumber('Talk time in seconds.'),
  hold_time: maybeNumber('Hold time in seconds.'),
  call_dir: maybeText('inbound or outbound.'),
  recording_url: maybeText('The URL of the recording.'),
  received_at: time('When the relay received it.'),
  unsure: v.pipe(
    v.array(v.string()),
    v.description(
      'Names of the fields that could not be read with certainty. Here they are null or a best guess; `payload` has the original values.',
    ),
  ),
}

export const CdrRecord = v.pipe(
  v.object({
    ...cdr,
    revised: v.pipe(v.boolean(), v.description('Another CDR with the same key but different content was received.')),
  }),
  v.metadata({
    ref: 'Cdr',
    description: 'A call detail record. The dialler writes one per number tried.',
    examples: [
      {
        id: '5d8a1f6a3c0f1c6d0b7e9a42f1b1f3a0c9d2e4b7',
        source: 'main',
        call_ref: '90071992547409931',
        dialed_at: '2026-01-31T08:00:00.000Z',
        campaign_ref: '7',
        extension: '1002',
        contact_ref: 'A-1001',
        number: '+15550100',
        dial_number: '015550100',
        end_reason: 'hungup',
        end_code: 16,
        call_time: 93,
        hold_time: 0,
        call_dir: 'outbound',
        recording_url: null,
        received_at: '2026-01-31T08:01:35.000Z',
        unsure: [],
        revised: false,
      },
    ],
  }),
)
export type CdrRecord = v.InferOutput<typeof CdrRecord>

const Revision = v.pipe(
  v.object(cdr),
  v.metadata({ ref: 'CdrRevision', description: 'A CDR with the same key but different content.' }),
)

export const CdrDetail = v.pipe(
  v.object({
    ...CdrRecord.entries,
    revisions: v.pipe(v.array(Revision), v.description('CDRs with the same key but different content, newest first.')),
    payload: v.pipe(v.record(v.string(), v.unknown()), v.description('Every field that the dialler sent.')),
  }),
  v.metadata({ ref: 'CdrDetail', description: 'A CDR with its revisions and its full payload.' }),
)
export type CdrDetail = v.InferOutput<typeof CdrDetail>

export const CdrsPage = pageOf(CdrRecord)
export type CdrsPage = v.InferOutput<typeof CdrsPage>

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
