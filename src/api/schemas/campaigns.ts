import * as v from 'valibot'
import { count, maybeText, pageOf, source, text, time } from './fields.ts'
import { StatsAnswer } from './stats.ts'

const campaign = {
  ref: text("The dialler's reference."),
  status: maybeText('started, stopping, stopped, completed, or a state of a newer dialler; null: not heard yet.'),
  since: v.pipe(
    v.nullable(v.pipe(v.string(), v.isoTimestamp())),
    v.description('When this state was first heard. ISO 8601, UTC.'),
  ),
  source: maybeText('The id of the source, as named in ENIGMA_SOURCES.'),
  unsure: v.pipe(
    v.boolean(),
    v.description('There was a gap since: the state may have changed. False once the state is heard again.'),
  ),
}

export const CampaignAnswer = v.pipe(
  v.object(campaign),
  v.metadata({
    ref: 'Campaign',
    description: 'The current state of a campaign.',
    examples: [{ ref: '7', status: 'started', since: '2026-01-31T08:00:00.000Z', source: 'main', unsure: false }],
  }),
)

const StateChange = v.pipe(
  v.object({
    status: v.string(),
    at: time('When it was heard.'),
    source,
    notification_id: text('The id of the notification.'),
  }),
  v.metadata({ ref: 'StateChange' }),
)

// Fields that the dialler adds to a callee are passed on as they are.
const Callee = v.pipe(
  v.objectWithRest(
    { number: maybeText('The number.'), contact_ref: maybeText('The reference in your own records.') },
    v.unknown(),
  ),
  v.metadata({ ref: 'Callee', description: 'A contact that will be dialled soon.' }),
)

export const PreviewAnswer = v.pipe(
  v.object({ at: time('When it was heard.'), callees: v.array(Callee) }),
  v.metadata({
    ref: 'Preview',
    description: 'The contacts that will be dialled next: the latest list that the dialler sent.',
  }),
)

const HourCount = v.pipe(
  v.object({
    hour: time('Start of the hour in which the call was dialled.'),
    end_reason: v.string(),
    count: count('Number of CDRs.'),
  }),
  v.metadata({ ref: 'HourCount' }),
)

const seconds = (description: string) => v.pipe(v.nullable(v.number()), v.description(description))

const TodayAnswer = v.pipe(
  v.object({
    since: time('When the day began in the time zone of the stack (`timeZone`).'),
    cdrs: count('Number of CDRs whose `dialed_at` is of today.'),
    end_reasons: v.pipe(v.record(v.string(), v.number()), v.description('Number of CDRs by end reason.')),
    answered: count('Number of CDRs with an extension and a `call_time` above 0.'),
    average_talk_time: seconds('Average `call_time` of those, in seconds; null without any.'),
    average_hold_time: seconds('Average `hold_time` of those, in seconds; null without any.'),
  }),
  v.metadata({ ref: 'Today', description: "What a campaign's CDRs of today come to." }),
)

const CampaignOverviewAnswer = v.pipe(
  v.object({
    ...campaign,
    today: TodayAnswer,
    agents: v.pipe(
      v.record(v.string(), v.number()),
      v.description('Number of agents by their status in this campaign.'),
    ),
  }),
  v.metadata({ ref: 'CampaignOverview', description: 'The state of a campaign, its agents, and its CDRs of today.' }),
)

export const CampaignDetailAnswer = v.pipe(
  v.object({
    ...campaign,
    today: TodayAnswer,
    history: v.pipe(v.array(StateChange), v.description('The latest changes, newest first.')),
    stats: v.pipe(v.array(StatsAnswer), v.description('One series for each source; campaign_ref is null.')),
    counts: v.pipe(v.array(HourCount), v.description('CDRs by hour, then by end reason.')),
  }),
  v.metadata({ ref: 'CampaignDetail', description: 'A campaign with its history and counters.' }),
)

export const CampaignsAnswer = pageOf(CampaignOverviewAnswer)

export const DialersAnswer = v.object({ items: v.array(CampaignAnswer) })
