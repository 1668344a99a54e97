import * as v from 'valibot'
import { count, maybeText, pageOf, text, time } from './fields.ts'

const maybeCount = (description: string) =>
  v.pipe(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0))), v.description(description))
const maybeTime = (description: string) =>
  v.pipe(v.nullable(v.pipe(v.string(), v.isoTimestamp())), v.description(`${description} ISO 8601, UTC.`))

export const ParkedRecord = v.pipe(
  v.object({
    id: text('Of the entry, for `GET /parked/{id}` and `POST /replays`.'),
    from: v.pipe(v.picklist(['relay', 'functions']), v.description('Who parked it.')),
    notification_ids: v.pipe(
      v.array(v.string()),
      v.readonly(),
      v.description('The parked notification; empty when it cannot be read.'),
    ),
    source: maybeText('The id of the source, as named in ENIGMA_SOURCES; null when it cannot be read.'),
    route: text('Its route, and so its queue: agents-call.'),
    type: maybeText('The type of the event: enigma.agents.call.'),
    subject: maybeText('Its reference; null if it has none, and for entries of the relay.'),
    reason: text(
      'The reason. Relay: too_large or refused. Functions: a status and the first words of the response, or that SQS moved the message.',
    ),
    detail: maybeText('Details from the relay, masked.'),
    status: maybeCount("The handler's HTTP status."),
    handler: maybeText('The handler that failed: agents/call.'),
    attempts: maybeCount('Number of deliveries to the function.'),
    received_at: maybeTime('When the relay received it.'),
    first_attempt_at: maybeTime('When SQS first delivered it.'),
    parked_at: time('When it was parked, right after its last attempt.'),
    bytes: v.pipe(v.number(), v.integer(), v.minValue(0), v.description('Size of the parked content in bytes.')),
    message_id: maybeText('The id of the SQS message in which it came.'),
    replay: maybeText('The replay that is sending it again.'),
  }),
  v.metadata({
    ref: 'Parked',
    description: 'A parked notification or message, which can be read and sent again.',
    examples: [
      {
        id: '3f786850e387550fdab8',
        from: 'functions',
        notification_ids: ['main/p/1769846400000/17'],
        source: 'main',
        route: 'agents-call',
        type: 'enigma.agents.call',
        subject: '1002',
        reason: '422: call_ref is missing',
        detail: null,
        status: 422,
        handler: 'agents/call',
        attempts: 1,
        received_at: '2026-01-31T08:00:00.000Z',
        first_attempt_at: '2026-01-31T08:00:00.012Z',
        parked_at: '2026-01-31T08:00:00.031Z',
        bytes: 412,
        message_id: '5fea7756-0ea4-451a-a703-a558b933e274',
        replay: null,
      },
    ],
  }),
)
export type ParkedRecord = v.InferOutput<typeof ParkedRecord>

export const ParkedDetail = v.pipe(
  v.object({
    ...ParkedRecord.pipe[0].entries,
    failed_attempts: v.pipe(
      v.array(
        v.object({
          at: time('When it failed.'),
          attempt: v.pipe(
            v.number(),
            v.integer(),
            v.description('Counts from 1 in each replay anew. 0: a replay could not send it.'),
          ),
          status: maybeCount("The handler's HTTP status."),
          reason: text('Masked, at most 200 characters.'),
        }),
      ),
      v.readonly(),
      v.description('The latest 50 attempts, oldest first, over all of its replays.'),
    ),
  }),
  v.metadata({ ref: 'ParkedDetail' }),
)
export type ParkedDetail = v.InferOutput<typeof ParkedDetail>

const total = v.object({
  total: v.pipe(v.number(), v.integer(), v.minValue(0), v.description('Regardless of the filters.')),
})

export const ParkedPage = v.object({
  ...pageOf(ParkedRecord).entries,
  relay: v.pipe(total, v.metadata({ ref: 'ParkedByRelay' })),
  functions: v.pipe(total, v.metadata({ ref: 'ParkedByFunctions' })),
})
export type ParkedPage = v.InferOutput<typeof ParkedPage>

const filter = v.pipe(
  v.object({
    source: v.optional(v.string()),
    route: v.optional(v.string()),
    reason: v.optional(v.string()),
    status: v.optional(v.number()),
    since: v.optional(v.string()),
    until: v.optional(v.string()),
  }),
  v.description('Which entries, as it was asked for; null where ids were given.'),
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
    operator: maybeText('The name of the token that asked for it.'),
    created_at: time('When it was asked for. Entries that are parked later are not part of it.'),
    rate: v.pipe(v.number(), v.description('Entries sent in a second at most.')),
    filter: v.nullable(filter),
    counts: v.object({
      waiting: count('Found, and not sent yet.'),
      sent: count('Sent, outcome still open.'),
      handled: count('Handled by their function, and parked no longer.'),
      failed_again: count('Parked again, with the new reason.'),
      skipped: count('Not sent: gone by now, sent by another replay, or parked by the relay.'),
    }),
  }),
  v.metadata({
    ref: 'Replay',
    description: 'A job that sends parked notifications through their functions again.',
    examples: [
      {
        id: '0f5a4d4e-7c1b-4a3e-9a43-2b1f6f9d6c11',
        state: 'running',
        operator: 'jane',
        created_at: '2026-01-31T08:00:00.000Z',
        rate: 50,
        filter: { route: 'campaigns-cdr', reason: '422' },
        counts: { waiting: 212, sent: 50, handled: 38, failed_again: 0, skipped: 0 },
      },
    ],
  }),
)
export type Replay = v.InferOutput<typeof Replay>

export const ReplaysPage = pageOf(Replay)
export type ReplaysPage = v.InferOutput<typeof ReplaysPage>
