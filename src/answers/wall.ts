import * as v from 'valibot'
import { Today } from './campaign.ts'
import { count, maybeText, text, time } from './fields.ts'

const unsure = v.optional(
  v.pipe(
    v.literal(true),
    v.description('A gap has occurred since this was heard, so it may have changed. Absent otherwise.'),
  ),
)
const byStatus = (description: string) => v.pipe(v.record(v.string(), v.number()), v.description(description))

const AbandonRate = v.pipe(
  v.object({
    rate: v.pipe(v.nullable(v.number()), v.description('numerator / denominator. Null if the denominator is 0.')),
    numerator: count('Number of abandoned calls.'),
    denominator: count('Number of calls that the abandoned calls are compared with.'),
  }),
  v.metadata({ ref: 'AbandonRate' }),
)

const Figures = v.pipe(
  v.object({
    ...Today.pipe[0].entries,
    since: time(
      'Start of the time span: of the day in the time zone of the stack, or of the quarter hour one hour ago.',
    ),
    abandoned: AbandonRate,
  }),
  v.metadata({ ref: 'Figures', description: 'Figures from the CDRs whose `dialed_at` is in a time span.' }),
)
export type Figures = v.InferOutput<typeof Figures>

const figures = { today: Figures, last_hour: Figures }

const WallCampaign = v.pipe(
  v.object({
    ref: text("The dialler's reference of the campaign."),
    status: maybeText('The state of the campaign, as in `GET /campaigns`.'),
    since: v.pipe(v.nullable(v.string()), v.description('When this state was first heard. ISO 8601, UTC.')),
    unsure,
    agents: byStatus('Number of agents by status in this campaign.'),
    calls: count('Number of agents that have a call of this campaign.'),
    ...figures,
  }),
  v.metadata({ ref: 'WallCampaign' }),
)
export type WallCampaign = v.InferOutput<typeof WallCampaign>

const WallAgent = v.pipe(
  v.object({
    ref: text("The agent's extension."),
    status: maybeText(
      'The latest state of the agent that is not `offline`, if there is one. Null if no state was heard.',
    ),
    since: v.pipe(
      v.nullable(v.string()),
      v.description('When this state was first heard, to the second. ISO 8601, UTC.'),
    ),
    campaign: maybeText('The reference of the campaign to which this state belongs.'),
    unsure,
    call: v.optional(
      v.pipe(
        v.object({
          call_ref: maybeText("The dialler's reference of the call."),
          since: time('When the relay received the call, to the second.'),
          inbound: v.optional(v.pipe(v.literal(true), v.description('True for an inbound call. Absent otherwise.'))),
          unsure,
        }),
        v.description('The current call. Absent if there is none.'),
      ),
    ),
  }),
  v.metadata({ ref: 'WallAgent' }),
)
export type WallAgent = v.InferOutput<typeof WallAgent>

export const Wall = v.pipe(
  v.object({
    at: time('When the data was read.'),
    totals: v.object({
      campaigns: byStatus('Number of campaigns by status. `unknown` if no state was heard.'),
      agents: byStatus('Number of agents by their status in `agents` below. `unknown` if no state was heard.'),
      calls: count('Number of agents that have a call.'),
      unsure: count('Number of agents whose state or call is unsure.'),
      ...figures,
    }),
    abandon_rate: v.object({
      formula: text('The definition of numerator and denominator.'),
      threshold: v.pipe(v.number(), v.description('A rate above it is too high.')),
      approximate: v.pipe(
        v.literal(true),
        v.description(
          'CDRs do not say when a call was answered, so the number of callers who hung up before an agent answered is an estimate.',
        ),
      ),
    }),
    campaigns: v.array(WallCampaign),
    agents: v.array(WallAgent),
  }),
  v.metadata({ ref: 'Wall', description: 'The current state of the whole call centre in one response.' }),
)
export type Wall = v.InferOutput<typeof Wall>
