import * as v from 'valibot'
import { campaignRef, count, maybeText, pageOf, source, text, time } from './fields.ts'

const values = v.pipe(v.record(v.string(), v.number()), v.description("By the dialler's names; durations in ms."))

export const StatsPoint = v.pipe(
  v.object({
    at: time('When it was heard.'),
    values,
    reset: v.pipe(v.boolean(), v.description('A cumulative value decreased here: the dialler reset its counters.')),
  }),
  v.metadata({ ref: 'StatsPoint', description: 'One point of a chart.' }),
)
export type StatsPoint = v.InferOutput<typeof StatsPoint>

export const Stats = v.pipe(
  v.object({
    source,
    campaign_ref: campaignRef,
    at: time('When the latest values were heard.'),
    values,
    resets: count('How often the dialler reset its counters.'),
    series: v.pipe(v.array(StatsPoint), v.description('The latest points, oldest first.')),
  }),
  v.metadata({ ref: 'Stats', description: 'The latest counters, and a short series of them for charts.' }),
)
export type Stats = v.InferOutput<typeof Stats>

const Unexpected = v.pipe(
  v.object({ from: v.string(), to: v.string(), at: time('When it was heard.') }),
  v.metadata({
    ref: 'Unexpected',
    description: 'A change that is not possible, such as available to wrapup: a packet between the two was lost.',
    examples: [{ from: 'available', to: 'wrapup', at: '2026-01-31T08:00:00.000Z' }],
  }),
)

export const AgentState = v.pipe(
  v.object({
    source,
    campaign_ref: campaignRef,
    status: text('offline, logging_in, available, busy, wrapup, logging_out, or a state of a newer dialler.'),
    since: time('When this state was first heard.'),
    unexpected: v.pipe(v.nullable(Unexpected), v.description('The last change that is not possible.')),
    unexpected_count: count('Number of such changes.'),
    unsure: v.pipe(
      v.boolean(),
      v.description('There was a gap since: the state may have changed. False once the state is heard again.'),
    ),
  }),
  v.metadata({
    ref: 'AgentState',
    description: "An agent's state in one campaign. It may differ in each campaign.",
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
    call_ref: maybeText("The dialler's reference of the call; its CDR carries the same."),
    contact_ref: maybeText('The contact that the call reached: the reference in your own records.'),
    number: maybeText("The subscriber's number."),
    dial_number: maybeText('The number as dialled, or the number that was called.'),
    campaign_ref: campaignRef,
    agent: maybeText('The field `agent` as the dialler sent it.'),
    direction: v.picklist(['inbound', 'outbound']),
    received_at: time('When it was heard.'),
    stale: v.pipe(
      v.boolean(),
      v.description('The call arrived too late for a screen pop and was never the current call.'),
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
  states: v.pipe(v.array(AgentState), v.description('One for each campaign.')),
  call: v.pipe(v.nullable(Call), v.description("The agent's current call, for the screen pop.")),
  call_unsure: v.pipe(
    v.boolean(),
    v.description(
      "The call may have ended: there was a gap since, or a CDR arrived that may belong to an earlier try, or a state of a campaign that may be the call's.",
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
    calls: v.pipe(v.array(Call), v.description('The latest calls, newest first, including stale ones.')),
    stats: v.pipe(v.array(Stats), v.description('One series for each source and campaign.')),
  }),
  v.metadata({ ref: 'AgentDetail', description: 'An agent with its latest calls and its counters.' }),
)
export type AgentDetail = v.InferOutput<typeof AgentDetail>

export const AgentsPage = v.object({
  ...pageOf(Agent).entries,
  counts: v.pipe(
    v.optional(v.record(v.string(), count('Number of states.'))),
    v.description(
      'Number of states of each status, of all that fit campaign and unsure. Absent without a filter, unless `counts=true`.',
    ),
  ),
})
export type AgentsPage = v.InferOutput<typeof AgentsPage>
