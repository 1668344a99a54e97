import * as v from 'valibot'
import { maybeText, pageOf, text, time } from './fields.ts'

const maybeCount = (description: string) =>
  v.pipe(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0))), v.description(description))
const maybeTime = (description: string) =>
  v.pipe(v.nullable(v.pipe(v.string(), v.isoTimestamp())), v.description(`${description} ISO 8601, UTC.`))

export const ParkedItemAnswer = v.pipe(
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

export const ParkedDetailAnswer = v.pipe(
  v.object({
    ...ParkedItemAnswer.pipe[0].entries,
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

const total = v.object({
  total: v.pipe(v.number(), v.integer(), v.minValue(0), v.description('Regardless of the filters.')),
})

export const ParkedAnswer = v.object({
  ...pageOf(ParkedItemAnswer).entries,
  relay: v.pipe(total, v.metadata({ ref: 'ParkedByRelay' })),
  functions: v.pipe(total, v.metadata({ ref: 'ParkedByFunctions' })),
})
