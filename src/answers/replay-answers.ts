import * as v from 'valibot'
import { count, maybeText, pageOf, text, time } from './answer-fields.ts'

const filter = v.pipe(
  v.object({
    from: v.optional(v.picklist(['relay', 'functions'])),
    source: v.optional(v.string()),
    route: v.optional(v.string()),
    reason: v.optional(v.string()),
    cause: v.optional(v.string()),
    reference: v.optional(v.string()),
    notification: v.optional(v.string()),
    status: v.optional(v.number()),
    since: v.optional(v.string()),
    until: v.optional(v.string()),
  }),
  v.description('The filter of the request. Null if the request had ids.'),
)

const cdrs = v.pipe(
  v.object({
    route: v.string(),
    from: v.optional(v.string()),
    to: v.optional(v.string()),
    campaign: v.optional(v.string()),
    agent: v.optional(v.string()),
    end_reason: v.optional(v.string()),
  }),
  v.description('The CDRs that are sent to the function of `route` again. Null for parked entries.'),
)

export const Replay = v.pipe(
  v.object({
    id: text('The id of the replay. Handlers receive it in the header `ce-replay`.'),
    state: v.pipe(
      v.picklist(['running', 'done', 'stopped']),
      v.description(
        'running: some entries are not sent yet, or their outcome is unknown. stopped: entries that were not sent stay parked.',
      ),
    ),
    waits_for: v.pipe(
      v.nullable(v.picklist(['relay'])),
      v.description(
        'relay: no message is sent until a relay asks for it. A relay with `ENIGMA_API_URL` does so within seconds. Null: the replay waits for nothing.',
      ),
    ),
    operator: maybeText('The name of the token that started the replay.'),
    created_at: time('When the replay was started. Entries that are parked later are not included.'),
    rate: v.pipe(v.number(), v.description('Maximum number of entries sent per second.')),
    filter: v.nullable(filter),
    cdrs: v.nullable(cdrs),
    relay: count(
      'Number of entries that the relay was asked to send again. They are not in `counts`, and leave `GET /parked` when the relay confirms that SQS has accepted them.',
    ),
    counts: v.object({
      waiting: count('Entries that are not sent yet.'),
      sent: count('Entries that were sent and whose outcome is unknown.'),
      handled: count('Entries that their function handled. They are no longer parked.'),
      failed_again: count('Entries that were parked again, with the new reason.'),
      skipped: count('Entries that were not sent, because they no longer exist or another replay sent them.'),
    }),
  }),
  v.metadata({
    ref: 'Replay',
    description: 'A job that sends parked notifications through their functions again.',
    examples: [
      {
        id: '0f5a4d4e-7c1b-4a3e-9a43-2b1f6f9d6c11',
        state: 'running',
        waits_for: null,
        operator: 'jane',
        created_at: '2026-01-31T08:00:00.000Z',
        rate: 50,
        filter: { route: 'campaigns-cdr', reason: '422' },
        cdrs: null,
        relay: 0,
        counts: { waiting: 212, sent: 50, handled: 38, failed_again: 0, skipped: 0 },
      },
    ],
  }),
)
export type Replay = v.InferOutput<typeof Replay>

export const ReplaysPage = pageOf(Replay)
export type ReplaysPage = v.InferOutput<typeof ReplaysPage>

export const NextRound = v.pipe(
  v.object({
    go_on: v.pipe(
      v.boolean(),
      v.description(
        'True if this relay should continue to send the round that it reported on. False if the replay was stopped or another relay took over.',
      ),
    ),
    round: v.pipe(
      v.nullable(
        v.object({
          job: text('The id of the replay, for the header `ce-replay`.'),
          round: text('The round of the replay. The API returns a round again until it is reported as done.'),
          again: v.pipe(
            v.boolean(),
            v.description(
              'True if the API returned this round before, so that some of its messages may have been sent.',
            ),
          ),
          messages: v.array(
            v.object({
              entry: text('The id of the parked entry or of the CDR, for the header `ce-parked`.'),
              route: text('The route of the message, and therefore its target.'),
              lane: text('The lane. Send the messages of one lane of a route one after the other.'),
              event: text('The CloudEvent in JSON, with the original bytes of the packet.'),
            }),
          ),
        }),
      ),
      v.description('The messages to send now. Null if there are none.'),
    ),
    wait_ms: count('Minimum time in ms that the relay waits after this response before it asks again.'),
  }),
  v.metadata({ ref: 'NextRound', description: 'The next round of a replay, which a relay sends.' }),
)
export type NextRound = v.InferOutput<typeof NextRound>

/** The outcomes of a message of a replay. */
export const OUTCOMES = ['waiting', 'sent', 'handled', 'failed_again', 'skipped'] as const

export const ReplayMessage = v.pipe(
  v.object({
    id: text('The id of the parked entry or of the CDR.'),
    outcome: v.picklist(OUTCOMES),
    reason: maybeText('Why the message failed again, or why it was skipped.'),
  }),
  v.metadata({ ref: 'ReplayMessage' }),
)

export const ReplayDetail = v.pipe(
  v.object({ ...Replay.pipe[0].entries, messages: pageOf(ReplayMessage) }),
  v.metadata({
    ref: 'ReplayDetail',
    description: 'A replay with the outcome of each of its messages, in order.',
  }),
)
export type ReplayMessage = v.InferOutput<typeof ReplayMessage>
export type ReplayDetail = v.InferOutput<typeof ReplayDetail>

export const ReplayPlan = v.pipe(
  v.object({
    total: count('Number of entries or CDRs that would be sent.'),
    routes: v.pipe(
      v.record(v.string(), v.number()),
      v.description('Number of these entries by route, and therefore by queue.'),
    ),
    relay: count('Number of entries that the relay would be asked to send again.'),
    stale: count(
      'Number of entries that are older than their route allows. Calls among them would be recorded, but never shown as current.',
    ),
    outdated: count('Number of states that are older than the current state in the read model.'),
    replayed_before: count('Number of entries that failed again in an earlier replay.'),
    skipped: count(
      'Number of entries that would not be sent, because they no longer exist, were deleted, or another replay sends them.',
    ),
    complete: v.pipe(v.boolean(), v.description('False if there are more than the 20,000 that were counted.')),
    until: v.optional(
      time(
        'Present if you sent a filter. Entries parked after this time were not counted. Send it as `until` in the filter of the replay to exclude them.',
      ),
    ),
  }),
  v.metadata({ ref: 'ReplayPlan', description: 'The result of a dry run of a replay. Nothing was sent.' }),
)
export type ReplayPlan = v.InferOutput<typeof ReplayPlan>

export const AuditRecord = v.pipe(
  v.object({
    id: text('The id of the audit entry.'),
    at: time('When the action was requested.'),
    operator: text('The name of the token.'),
    action: text(
      'replay, stop, delete, drop (permanently delete entries of the relay), restore, reveal, drain, or another action of a newer version.',
    ),
    what: text('The id of the replay or parked entry, or the filter.'),
    count: v.pipe(v.nullable(v.number()), v.description('Number of entries. Null if it is not known in advance.')),
  }),
  v.metadata({ ref: 'AuditRecord', description: 'A write, or a request that revealed personal data.' }),
)
export type AuditRecord = v.InferOutput<typeof AuditRecord>

export const AuditPage = pageOf(AuditRecord)
export type AuditPage = v.InferOutput<typeof AuditPage>
