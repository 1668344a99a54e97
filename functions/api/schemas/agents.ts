import * as v from 'valibot'
import { campaignRef, count, maybeText, pageOf, source, text, time } from './fields.ts'
import { StatsAnswer } from './stats.ts'

const Unexpected = v.pipe(
  v.object({ from: v.string(), to: v.string(), at: time('When it was heard.') }),
  v.metadata({
    ref: 'Unexpected',
    description: 'A change that cannot be, such as available to wrapup: a packet between the two was lost.',
    examples: [{ from: 'available', to: 'wrapup', at: '2026-01-31T08:00:00.000Z' }],
  }),
)

const AgentStateAnswer = v.pipe(
  v.object({
    source,
    campaign_ref: campaignRef,
    status: text('offline, logging_in, available, busy, wrapup, logging_out, or a word that a later dialler sends.'),
    since: time('When this state was heard first.'),
    unexpected: v.pipe(v.nullable(Unexpected), v.description('The last change that cannot be.')),
    unexpected_count: count('How many such changes there were.'),
    unsure: v.pipe(
      v.boolean(),
      v.description(
        'PubSub was not heard for a while since: it may have changed unheard. Sure again when it is heard again.',
      ),
    ),
  }),
  v.metadata({
    ref: 'AgentState',
    description: "An agent's state in one campaign. It may be another one in each.",
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

const CallAnswer = v.pipe(
  v.object({
    source,
    call_ref: maybeText("The dialler's reference of the call; its CDR carries the same."),
    contact_ref: maybeText('Whom the call reached: the reference in your own records.'),
    number: maybeText("The subscriber's number."),
    dial_number: maybeText('The number as dialled, or the one that was called.'),
    campaign_ref: campaignRef,
    agent: maybeText('The field `agent` as the dialler sent it.'),
    direction: v.picklist(['inbound', 'outbound']),
    received_at: time('When it was heard.'),
    stale: v.pipe(v.boolean(), v.description('It came too late for a screen pop, and never was the current call.')),
    notification_id: text('The notification that told it.'),
  }),
  v.metadata({
    ref: 'Call',
    description: 'A call that was handed to an agent.',
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

const agent = {
  ref: text("The agent's extension."),
  states: v.pipe(v.array(AgentStateAnswer), v.description('One for each campaign.')),
  call: v.pipe(v.nullable(CallAnswer), v.description("What belongs on the agent's screen now.")),
  call_unsure: v.pipe(
    v.boolean(),
    v.description(
      "The call may have ended: Pub/Sub was not heard for a while since, or a CDR came that may be of an earlier try, or a state of a campaign that may be the call's.",
    ),
  ),
}

export const AgentAnswer = v.pipe(
  v.object(agent),
  v.metadata({ ref: 'Agent', description: 'An agent as it stands now.' }),
)

export const AgentDetailAnswer = v.pipe(
  v.object({
    ...agent,
    calls: v.pipe(v.array(CallAnswer), v.description('The latest calls, newest first, stale ones among them.')),
    stats: v.pipe(v.array(StatsAnswer), v.description('One series for each source and campaign.')),
  }),
  v.metadata({ ref: 'AgentDetail', description: 'An agent with its latest calls and its counters.' }),
)

export const AgentsAnswer = pageOf(AgentAnswer)
