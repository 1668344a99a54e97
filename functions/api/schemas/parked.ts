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
      v.description('Who put it aside: the relay, or the functions in their dead-letter queues.'),
    ),
    notification_ids: v.pipe(
      v.array(v.string()),
      v.description(
        'What lies there: one notification as a rule, a whole pack when SQS moved it, none when it cannot be read.',
      ),
    ),
    source: maybeText('The Redis server that it came from, as named in ENIGMA_SOURCES; null when it cannot be read.'),
    route: text('Its route, and so its queue: agents-call.'),
    type: maybeText('The type of the event: enigma.agents.call.'),
    subject: maybeText(
      'Its reference; null where it has none, in a pack of several, and for what the relay put aside.',
    ),
    reason: text(
      'Why: too_large or refused from the relay; a status and its first words, or that SQS moved it, from the functions.',
    ),
    detail: maybeText('More on that from the relay, masked.'),
    status: maybeCount("The handler's HTTP status."),
    handler: maybeText('Who gave it up: agents/call.'),
    attempts: maybeCount('How often SQS handed it to the function.'),
    received_at: maybeTime('When the relay received it; of a pack, the first of it.'),
    first_attempt_at: maybeTime('When SQS handed it out first.'),
    parked_at: time('When it was put aside, right after its last attempt.'),
    bytes: v.pipe(v.number(), v.integer(), v.minValue(0), v.description('Of what lies there.')),
    message_id: maybeText('The id of the SQS message in the dead-letter queue.'),
  }),
  v.metadata({
    ref: 'Parked',
    description: 'Something that was put aside, to be looked at and sent again.',
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
        'read: all are in the list. incomplete: some are. unavailable, not_configured: none are; detail says why. not_asked: by `from`.',
      ),
    ),
    detail: maybeText('What could not be read, and why.'),
    total: maybeCount('How many messages are in all dead-letter queues, about; null when not known.'),
  }),
  v.metadata({ ref: 'ParkedByFunctions', description: 'How well the dead-letter queues could be looked into.' }),
)

export const ParkedAnswer = v.object({
  ...pageOf(ParkedItemAnswer).entries,
  relay: v.pipe(
    v.object({ total: maybeCount('How many the relay put aside in all, whatever the filter; null when not asked.') }),
    v.metadata({ ref: 'ParkedByRelay' }),
  ),
  functions: FunctionsPart,
})

/** How well the dead-letter queues could be looked into. */
export type FunctionsPart = v.InferOutput<typeof FunctionsPart>
