import * as v from 'valibot'
import { Today } from './campaign.ts'
import { count, maybeText, text, time } from './fields.ts'

const unsure = v.optional(
  v.pipe(v.literal(true), v.description('There was a gap since: it may have changed unheard. Absent otherwise.')),
)
const byStatus = (description: string) => v.pipe(v.record(v.string(), v.number()), v.description(description))

const AbandonRate = v.pipe(
  v.object({
    rate: v.pipe(v.nullable(v.number()), v.description('numerator / denominator; null where that is 0.')),
    numerator: count('Abandoned calls.'),
    denominator: count('Calls that are compared with them.'),
  }),
  v.metadata({ ref: 'AbandonRate' }),
)

const Figures = v.pipe(
  v.object({
    ...Today.pipe[0].entries,
    since: time('When the span began: the day in the time zone of the stack, or the quarter of an hour an hour ago.'),
    abandoned: AbandonRate,
  }),
  v.metadata({ ref: 'Figures', description: 'What the CDRs whose `dialed_at` is in a span come to.' }),
)
export type Figures = v.InferOutput<typeof Figures>

const figures = { today: Figures, last_hour: Figures }

const WallCampaign = v.pipe(
  v.object({
    ref: text("The dialler's reference."),
    status: maybeText('As in `GET /campaigns`.'),
    since: v.pipe(v.nullable(v.string()), v.description('When this state was first heard. ISO 8601, UTC.')),
    unsure,
    agents: byStatus('Number of agents by their status in this campaign.'),
    calls: count('Number of agents with a call of this campaign.'),
    ...figures,
  }),
  v.metadata({ ref: 'WallCampaign' }),
)
export type WallCampaign = v.InferOutput<typeof WallCampaign>

const WallAgent = v.pipe(
  v.object({
    ref: text("The agent's extension."),
    status: maybeText('Of its states, the latest but `offline`; null where none was heard.'),
    since: v.pipe(
      v.nullable(v.string()),
      v.description('When this state was first heard, to the second. ISO 8601, UTC.'),
    ),
    campaign: maybeText('The reference of the campaign of this state.'),
    unsure,
    call: v.optional(
      v.pipe(
        v.object({
          call_ref: maybeText("The dialler's reference of the call."),
          since: time('When it was heard, to the second.'),
          inbound: v.optional(v.pipe(v.literal(true), v.description('It came in. Absent otherwise.'))),
          unsure,
        }),
        v.description('The current call. Absent without one.'),
      ),
    ),
  }),
  v.metadata({ ref: 'WallAgent' }),
)
export type WallAgent = v.InferOutput<typeof WallAgent>

export const Wall = v.pipe(
  v.object({
    at: time('When it was read.'),
    totals: v.object({
      campaigns: byStatus('Number of campaigns by their status; `unknown` where none was heard.'),
      agents: byStatus('Number of agents by the status below; `unknown` where none was heard.'),
      calls: count('Number of agents with a call.'),
      unsure: count('Number of agents of which the state or the call is unsure.'),
      ...figures,
    }),
    abandon_rate: v.object({
      formula: text('What numerator and denominator are.'),
      threshold: v.pipe(v.number(), v.description('A rate above it is too high.')),
      approximate: v.pipe(
        v.literal(true),
        v.description('CDRs do not say when a call was answered, so who hung up before an agent was there is a guess.'),
      ),
    }),
    campaigns: v.array(WallCampaign),
    agents: v.array(WallAgent),
  }),
  v.metadata({ ref: 'Wall', description: 'The call centre now, in one answer.' }),
)
export type Wall = v.InferOutput<typeof Wall>
