import * as v from 'valibot'
import { count, maybeText, pageOf, source, text, time } from './fields.ts'
import { Stats } from './agent.ts'

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

// Fields that the dialler adds to a callee are passed on as they are.
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
