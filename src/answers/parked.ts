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
    stale_at: maybeTime(
      'From when on it is stale, by the `maxAgeMs` of its route: a call is recorded then, and not shown on a screen. Null for what never is.',
    ),
    replay: maybeText('The replay that is sending it again.'),
    replays: count('How often a replay sent it and it failed again.'),
    expires_at: time('When it is removed unless it was sent again.'),
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
        stale_at: '2026-01-31T08:00:30.000Z',
        replay: null,
        replays: 0,
        expires_at: '2026-03-02T08:00:00.031Z',
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
    content: v.pipe(
      v.nullable(
        v.object({
          text: text('The event, or the message that cannot be read, as it is sent to SQS.'),
          masked: v.pipe(v.boolean(), v.description('Personal data is masked; `reveal=true` shows it.')),
        }),
      ),
      v.description('What is sent again; null for entries of the relay, which keeps them itself.'),
    ),
    lane: v.pipe(
      v.object({
        ids: v.pipe(v.array(v.string()), v.description('The first 100 entries, oldest first, this one among them.')),
        total: count('How many there are.'),
      }),
      v.description('What is parked of the same lane: of the same message group of the same queue.'),
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
  counts: v.pipe(
    v.optional(v.record(v.string(), count('Number of entries.'))),
    v.description(
      'Number of entries of each route that fit the filters, of the newest 20,000. Only with `counts=true`.',
    ),
  ),
})
export type ParkedPage = v.InferOutput<typeof ParkedPage>

export const ParkedGroup = v.pipe(
  v.object({
    from: v.picklist(['relay', 'functions']),
    route: text('The route of its entries.'),
    cause: text('Their reason, with `#` for each number and `…` for each quoted text.'),
    status: maybeCount("The handler's HTTP status."),
    count: count('How many there are.'),
    first: time('When the oldest was parked.'),
    last: time('When the newest was parked.'),
    example: text('The `id` of the newest.'),
  }),
  v.metadata({ ref: 'ParkedGroup', description: 'Parked entries with one cause.' }),
)
export type ParkedGroup = v.InferOutput<typeof ParkedGroup>

export const ParkedGroups = v.object({
  groups: v.pipe(v.array(ParkedGroup), v.description('The largest first, 200 at most.')),
  queues: v.pipe(
    v.array(
      v.object({
        route: text('The route.'),
        count: count('How many are parked.'),
        oldest: time('When the oldest was parked.'),
        next_expiry: time('When the first of them is removed.'),
      }),
    ),
    v.description('By route.'),
  ),
  matching: count('How many entries fit the filters.'),
  complete: v.pipe(v.boolean(), v.description('Whether all were looked at: the newest 20,000 are.')),
})
export type ParkedGroups = v.InferOutput<typeof ParkedGroups>

export const BinRecord = v.pipe(
  v.object({
    ...ParkedRecord.pipe[0].entries,
    deleted_at: time('When it was deleted.'),
    deleted_by: text('The name of the token that deleted it.'),
  }),
  v.metadata({
    ref: 'BinRecord',
    description: 'A deleted entry, which `POST /bin/restore` takes back until `expires_at`.',
  }),
)
export type BinRecord = v.InferOutput<typeof BinRecord>

export const BinPage = pageOf(BinRecord)
export type BinPage = v.InferOutput<typeof BinPage>

export const Moved = v.pipe(
  v.object({
    moved: v.pipe(v.number(), v.description('How many entries were moved.')),
    skipped: v.pipe(v.number(), v.description('How many were not: gone, or about to be sent by a replay.')),
    more: v.pipe(v.boolean(), v.description('There are more that fit: ask again, with this `until` in the filter.')),
    until: v.optional(
      v.pipe(v.string(), v.description('With a filter: entries that were parked later are not meant.')),
    ),
  }),
  v.metadata({ ref: 'Moved' }),
)
export type Moved = v.InferOutput<typeof Moved>

export const Deleted = v.pipe(
  v.object({
    ...Moved.pipe[0].entries,
    asked: v.pipe(
      v.number(),
      v.description(
        'How many entries the relay was asked to delete for ever. They are not in the bin, and leave `GET /parked` when the relay says that it did.',
      ),
    ),
  }),
  v.metadata({ ref: 'Deleted' }),
)
export type Deleted = v.InferOutput<typeof Deleted>

export const Asked = v.pipe(v.object({ asked: v.literal(true) }), v.metadata({ ref: 'Asked' }))
export type Asked = v.InferOutput<typeof Asked>
