import * as v from 'valibot'
import { maybeText, pageOf, text, time } from './fields.ts'

const maybeCount = (description: string) =>
  v.pipe(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0))), v.description(description))
const maybeTime = (description: string) =>
  v.pipe(v.nullable(v.pipe(v.string(), v.isoTimestamp())), v.description(`${description} ISO 8601, UTC.`))

export const ParkedItemAnswer = v.pipe(
  v.object({
    from: v.pipe(
      v.picklist(['relay', 'functions']),
      v.description('Where it was parked: by the relay, or by the functions in their dead-letter queues.'),
    ),
    notification_ids: v.pipe(
      v.array(v.string()),
      v.description(
        'The parked notifications: usually one, a whole pack when SQS moved the message, none when it cannot be read.',
      ),
    ),
    source: maybeText('The id of the source, as named in ENIGMA_SOURCES; null when it cannot be read.'),
    route: text('Its route, and so its queue: agents-call.'),
    type: maybeText('The type of the event: enigma.agents.call.'),
    subject: maybeText('Its reference; null if it has none, for a pack of several, and for entries of the relay.'),
    reason: text(
      'The reason. Relay: too_large or refused. Functions: a status and the first words of the response, or that SQS moved the message.',
    ),
    detail: maybeText('Details from the relay, masked.'),
    status: maybeCount("The handler's HTTP status."),
    handler: maybeText('The handler that failed: agents/call.'),
    attempts: maybeCount('Number of deliveries to the function.'),
    received_at: maybeTime('When the relay received it; for a pack, its first notification.'),
    first_attempt_at: maybeTime('When SQS first delivered it.'),
    parked_at: time('When it was parked, right after its last attempt.'),
    bytes: v.pipe(v.number(), v.integer(), v.minValue(0), v.description('Size of the parked content in bytes.')),
    message_id: maybeText('The id of the SQS message in the dead-letter queue.'),
  }),
  v.metadata({
    ref: 'Parked',
    description: 'A parked notification or message, which can be read and sent again.',
    examples: [
      {
        from: 'functions',
        notification_ids: ['main/p/1769846400000/17'],
        source: 'main',
        route: 'agents-call',
        type: 'enigma.agents.call',
        subject: '1002',
        reason: '422 call_ref is missing',
        detail: null,
        status: 422,
        handler: 'agents/call',
        attempts: 1,
        received_at: '2026-01-31T08:00:00.000Z',
        first_attempt_at: '2026-01-31T08:00:00.012Z',
        parked_at: '2026-01-31T08:00:00.031Z',
        bytes: 412,
        message_id: '5fea7756-0ea4-451a-a703-a558b933e274',
      },
    ],
  }),
)

/** One thing that was put aside, as the API shows it. */
export type ParkedItem = v.InferOutput<typeof ParkedItemAnswer>

const FunctionsPart = v.pipe(
  v.object({
    status: v.pipe(
      v.picklist(['read', 'incomplete', 'unavailable', 'not_configured', 'not_asked']),
      v.description(
        'read: all entries are in the list. incomplete: some are. unavailable, not_configured: none are; detail has the reason. not_asked: excluded by `from`.',
      ),
    ),
    detail: maybeText('What could not be read, and why.'),
    total: maybeCount('Approximate number of messages in all dead-letter queues; null when not known.'),
  }),
  v.metadata({ ref: 'ParkedByFunctions', description: 'Whether the dead-letter queues could be read.' }),
)

export const ParkedAnswer = v.object({
  ...pageOf(ParkedItemAnswer).entries,
  relay: v.pipe(
    v.object({
      total: maybeCount('Number of entries of the relay, regardless of the filters; null when excluded by `from`.'),
    }),
    v.metadata({ ref: 'ParkedByRelay' }),
  ),
  functions: FunctionsPart,
})

/** How well the dead-letter queues could be looked into. */
export type FunctionsPart = v.InferOutput<typeof FunctionsPart>
