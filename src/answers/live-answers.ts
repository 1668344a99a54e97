import * as v from 'valibot'
import { campaignRef, count, maybeText, source, text, time } from './answer-fields.ts'
import { Today } from './campaign-answers.ts'

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

/** The states that a request may expect, by resource. `src/protocol/confirmations.ts` lists the notifications that confirm or refute them. */
export type Expected = {
  readonly campaigns: 'started' | 'stopped' | 'completed'
  readonly agents: 'available' | 'offline'
  /** The CDR of the call confirms a disposition. */
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
          ref: maybeText("The dialler's reference of the call."),
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
