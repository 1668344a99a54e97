import * as v from 'valibot'
import { campaignRef, count, maybeText, pageOf, source, text, time } from './answer-fields.ts'

const values = v.pipe(
  v.record(v.string(), v.number()),
  v.description("Values by the dialler's names. Durations are in ms."),
)

export const StatsPoint = v.pipe(
  v.object({
    at: time('When the relay received it.'),
    values,
    reset: v.pipe(v.boolean(), v.description('A cumulative value decreased here: the dialler reset its counters.')),
  }),
  v.metadata({ ref: 'StatsPoint', description: 'A point of a time series.' }),
)
export type StatsPoint = v.InferOutput<typeof StatsPoint>

export const Stats = v.pipe(
  v.object({
    source,
    campaign_ref: campaignRef,
    at: time('When the relay received the latest values.'),
    values,
    resets: count('How often the dialler reset its counters.'),
    series: v.pipe(v.array(StatsPoint), v.description('The latest 120 points, oldest first.')),
  }),
  v.metadata({ ref: 'Stats', description: 'The latest counters, and a short time series of them for charts.' }),
)
export type Stats = v.InferOutput<typeof Stats>

const Unexpected = v.pipe(
  v.object({ from: v.string(), to: v.string(), at: time('When the relay received it.') }),
  v.metadata({
    ref: 'Unexpected',
    description:
      'A state change that cannot happen directly, such as available to wrapup: a packet in between was lost.',
    examples: [{ from: 'available', to: 'wrapup', at: '2026-01-31T08:00:00.000Z' }],
  }),
)

export const AgentState = v.pipe(
  v.object({
    source,
    campaign_ref: campaignRef,
    status: text(
      'offline, logging_in, available, busy, wrapup, logging_out, or another state that a newer dialler sends.',
    ),
    since: time('When this state was first heard.'),
    unexpected: v.pipe(v.nullable(Unexpected), v.description('The latest state change that cannot happen directly.')),
    unexpected_count: count('Number of such state changes.'),
    unsure: v.pipe(
      v.boolean(),
      v.description(
        'A gap has occurred since this state was heard, so it may have changed. False once the state is heard again.',
      ),
    ),
  }),
  v.metadata({
    ref: 'AgentState',
    description: 'The state of an agent in one campaign. An agent has one state per campaign.',
    examples: [
      {
        source: 'main',
        campaign_ref: '7',
        status: 'busy',
        since: '2026-01-31T08:00:00.000Z',
        unexpected: null,
        unexpected_count: 0,
        unsure: false,
      },
    ],
  }),
)
export type AgentState = v.InferOutput<typeof AgentState>

export const Call = v.pipe(
  v.object({
    source,
    call_ref: maybeText("The dialler's reference of the call. Its CDR has the same reference."),
    contact_ref: maybeText('The reference of the contact in your own records.'),
    number: maybeText("The subscriber's number."),
    dial_number: maybeText('The number as it was dialled, or for an inbound call the number that was called.'),
    campaign_ref: campaignRef,
    agent: maybeText('The field `agent`, as the dialler sent it.'),
    direction: v.picklist(['inbound', 'outbound']),
    received_at: time('When the relay received it.'),
    stale: v.pipe(
      v.boolean(),
      v.description('The call arrived too late for a screen pop, and was never the current call.'),
    ),
    notification_id: text('The id of the notification.'),
  }),
  v.metadata({
    ref: 'Call',
    description: 'A call that the dialler assigned to an agent.',
    examples: [
      {
        source: 'main',
        call_ref: '90071992547409931',
        contact_ref: 'A-1001',
        number: '+15550100',
        dial_number: null,
        campaign_ref: null,
        agent: '1002',
        direction: 'outbound',
        received_at: '2026-01-31T08:00:00.000Z',
        stale: false,
        notification_id: 'main/p/1769846400000/17',
      },
    ],
  }),
)
export type Call = v.InferOutput<typeof Call>

const agent = {
  ref: text("The agent's extension."),
  states: v.pipe(v.array(AgentState), v.description('One state per campaign.')),
  call: v.pipe(v.nullable(Call), v.description("The agent's current call, for the screen pop. Null without a call.")),
  call_unsure: v.pipe(
    v.boolean(),
    v.description(
      'The call may have ended: since then, a gap has occurred, a CDR arrived that may belong to an earlier try, or a status arrived in a campaign to which the call may belong.',
    ),
  ),
}

export const Agent = v.pipe(
  v.object(agent),
  v.metadata({ ref: 'Agent', description: 'The current state of an agent.' }),
)
export type Agent = v.InferOutput<typeof Agent>

export const AgentDetail = v.pipe(
  v.object({
    ...agent,
    calls: v.pipe(v.array(Call), v.description('The latest 20 calls, newest first, including stale calls.')),
    stats: v.pipe(v.array(Stats), v.description('One entry per source and campaign.')),
  }),
  v.metadata({ ref: 'AgentDetail', description: 'An agent with its latest calls and counters.' }),
)
export type AgentDetail = v.InferOutput<typeof AgentDetail>

export const AgentsPage = v.object({
  ...pageOf(Agent).entries,
  counts: v.pipe(
    v.optional(v.record(v.string(), count('Number of states.'))),
    v.description(
      'Number of states by status, among all states that match `campaign` and `unsure`. Absent without a filter, unless you send `counts=true`.',
    ),
  ),
})
export type AgentsPage = v.InferOutput<typeof AgentsPage>
