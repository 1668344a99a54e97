import * as v from 'valibot'
import { count, maybeText, pageOf, text, time } from './fields.ts'

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
  v.description('Which entries, as it was asked for; null where ids were given.'),
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
  v.description('Which CDRs are sent to the function of `route` again; null where parked entries are.'),
)

export const Replay = v.pipe(
  v.object({
    id: text('Of the replay: handlers see it as the header `ce-replay`.'),
    state: v.pipe(
      v.picklist(['running', 'done', 'stopped']),
      v.description(
        'running: entries are still to be sent, or the outcome of some is open. stopped: entries that were not sent stay parked.',
      ),
    ),
    waits_for: v.pipe(
      v.nullable(v.picklist(['relay'])),
      v.description(
        'relay: nothing is sent until a relay asks for it; one that has `ENIGMA_API_URL` does so within seconds. Null: nothing holds it up.',
      ),
    ),
    operator: maybeText('The name of the token that asked for it.'),
    created_at: time('When it was asked for. Entries that are parked later are not part of it.'),
    rate: v.pipe(v.number(), v.description('Entries sent in a second at most.')),
    filter: v.nullable(filter),
    cdrs: v.nullable(cdrs),
    relay: count(
      'Entries of the relay, which it was asked to send again. They are not in `counts`: they leave `GET /parked` when the relay says that SQS has accepted them.',
    ),
    counts: v.object({
      waiting: count('Found, and not sent yet.'),
      sent: count('Sent, outcome still open.'),
      handled: count('Handled by their function, and parked no longer.'),
      failed_again: count('Parked again, with the new reason.'),
      skipped: count('Not sent: gone by now, or sent by another replay.'),
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
        'Whether the round that the request is about is still to be sent by this relay: not after the replay was stopped, or another relay took over.',
      ),
    ),
    round: v.pipe(
      v.nullable(
        v.object({
          job: text('The id of the replay, for the header `ce-replay`.'),
          round: text('Of the replay. A round comes again until it is reported as done.'),
          again: v.pipe(v.boolean(), v.description('It was given before: messages of it may have been sent.')),
          messages: v.array(
            v.object({
              entry: text('The id of the parked entry or of the CDR, for the header `ce-parked`.'),
              route: text('Its route, and so its target.'),
              lane: text('Messages of one lane of a route are sent one after the other.'),
              event: text('The CloudEvent, in JSON, with the bytes of the packet as they were.'),
            }),
          ),
        }),
      ),
      v.description('What to send now; null when there is nothing.'),
    ),
    wait_ms: count('How long (ms) after this answer the relay asks again, or later.'),
  }),
  v.metadata({ ref: 'NextRound', description: 'A round of a replay, which a relay sends.' }),
)
export type NextRound = v.InferOutput<typeof NextRound>

/** What may have become of a message of a replay. */
export const OUTCOMES = ['waiting', 'sent', 'handled', 'failed_again', 'skipped'] as const

export const ReplayMessage = v.pipe(
  v.object({
    id: text('Of the parked entry, or of the CDR.'),
    outcome: v.picklist(OUTCOMES),
    reason: maybeText('Why it failed again, or why it was skipped.'),
  }),
  v.metadata({ ref: 'ReplayMessage' }),
)

export const ReplayDetail = v.pipe(
  v.object({ ...Replay.pipe[0].entries, messages: pageOf(ReplayMessage) }),
  v.metadata({
    ref: 'ReplayDetail',
    description: 'A replay with the outcome of each of its messages, in their order.',
  }),
)
export type ReplayMessage = v.InferOutput<typeof ReplayMessage>
export type ReplayDetail = v.InferOutput<typeof ReplayDetail>

export const ReplayPlan = v.pipe(
  v.object({
    total: count('Entries, or CDRs, that would be sent.'),
    routes: v.pipe(v.record(v.string(), v.number()), v.description('Of them by route, and so by queue.')),
    relay: count('Entries of the relay, which it would be asked to send again.'),
    stale: count(
      'Entries that are older than their route allows. Calls among them are recorded, and never shown as current.',
    ),
    outdated: count('States that are older than the one that the read model has by now.'),
    replayed_before: count('Entries that an earlier replay sent, and that failed again.'),
    skipped: count('Entries that would not be sent: gone, deleted, or sent by another replay.'),
    complete: v.pipe(v.boolean(), v.description('False: there are more than the 20,000 that were looked at.')),
    until: v.optional(
      time('With a filter: entries parked later were not counted. In the filter of the replay it leaves them out.'),
    ),
  }),
  v.metadata({ ref: 'ReplayPlan', description: 'What a replay would do. Nothing was sent.' }),
)
export type ReplayPlan = v.InferOutput<typeof ReplayPlan>

export const AuditRecord = v.pipe(
  v.object({
    id: text('Of the entry.'),
    at: time('When it was asked for.'),
    operator: text('The name of the token.'),
    action: text(
      'replay, stop, delete, drop (entries of the relay, for ever), restore, reveal, drain, or another of a newer version.',
    ),
    what: text('The id of a replay or of a parked entry, or the filter.'),
    count: v.pipe(v.nullable(v.number()), v.description('How many entries; null where it is not known beforehand.')),
  }),
  v.metadata({ ref: 'AuditRecord', description: 'Somebody wrote something, or revealed personal data.' }),
)
export type AuditRecord = v.InferOutput<typeof AuditRecord>

export const AuditPage = pageOf(AuditRecord)
export type AuditPage = v.InferOutput<typeof AuditPage>
