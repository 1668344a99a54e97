import * as v from 'valibot'
import { count, maybeText, pageOf, text, time } from './answer-fields.ts'

const maybeCount = (description: string) =>
  v.pipe(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0))), v.description(description))
const maybeTime = (description: string) =>
  v.pipe(v.nullable(v.pipe(v.string(), v.isoTimestamp())), v.description(`${description} ISO 8601, UTC.`))

export const ParkedRecord = v.pipe(
  v.object({
    id: text('The id of the entry, for `GET /parked/{id}` and `POST /replays`.'),
    from: v.pipe(v.picklist(['relay', 'functions']), v.description('Which component parked the entry.')),
    notification_ids: v.pipe(
      v.array(v.string()),
      v.readonly(),
      v.description('The id of the parked notification. Empty if it cannot be read.'),
    ),
    source: maybeText('The id of the source, as named in ENIGMA_SOURCES. Null if it cannot be read.'),
    route: text('The route of the entry, and therefore its queue, such as agents-call.'),
    type: maybeText('The type of the event, such as enigma.agents.call.'),
    subject: maybeText('The reference. Null if there is none, and for entries of the relay.'),
    reason: text(
      'The reason. For entries of the relay: too_large or refused. For entries of functions: a status and the beginning of the response, or a note that SQS moved the message.',
    ),
    detail: maybeText('Details from the relay, masked.'),
    status: maybeCount("The handler's HTTP status."),
    handler: maybeText('The handler that failed, such as agents/call.'),
    attempts: maybeCount('Number of deliveries to the function.'),
    received_at: maybeTime('When the relay received it.'),
    first_attempt_at: maybeTime('When SQS first delivered it.'),
    parked_at: time('When it was parked, immediately after its last attempt.'),
    bytes: v.pipe(v.number(), v.integer(), v.minValue(0), v.description('Size of the parked content in bytes.')),
    message_id: maybeText('The id of the SQS message that contained it.'),
    stale_at: maybeTime(
      'The time from which it is stale, by the `maxAgeMs` of its route. A stale call is recorded, but not shown on a screen. Null if it never becomes stale.',
    ),
    replay: maybeText('The id of the replay that is sending it again.'),
    replays: count('Number of replays in which it failed again.'),
    expires_at: time('When the entry is removed, unless it is sent again before.'),
  }),
  v.metadata({
    ref: 'Parked',
    description: 'A parked notification or message, which you can read and send again.',
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
          at: time('When the attempt failed.'),
          attempt: v.pipe(
            v.number(),
            v.integer(),
            v.description(
              'Number of the attempt. Each replay starts again at 1. 0 means that a replay could not send it.',
            ),
          ),
          status: maybeCount("The handler's HTTP status."),
          reason: text('The reason, masked, at most 200 characters.'),
        }),
      ),
      v.readonly(),
      v.description('The latest 50 failed attempts, oldest first, across all replays.'),
    ),
    content: v.pipe(
      v.nullable(
        v.object({
          text: text('The event, or the unreadable message, as it is sent again.'),
          masked: v.pipe(v.boolean(), v.description('True if personal data is masked; `reveal=true` shows it.')),
        }),
      ),
      v.description(
        'The content that a replay sends. Null for entries of the relay, which stores their content itself.',
      ),
    ),
    lane: v.pipe(
      v.object({
        ids: v.pipe(
          v.array(v.string()),
          v.description('The ids of the first 100 entries, oldest first, including this one.'),
        ),
        total: count('Number of entries.'),
      }),
      v.description('All parked entries of the same lane: the same message group of the same queue.'),
    ),
  }),
  v.metadata({ ref: 'ParkedDetail' }),
)
export type ParkedDetail = v.InferOutput<typeof ParkedDetail>

const total = v.object({
  total: v.pipe(v.number(), v.integer(), v.minValue(0), v.description('Number of entries, regardless of the filters.')),
})

export const ParkedPage = v.object({
  ...pageOf(ParkedRecord).entries,
  relay: v.pipe(total, v.metadata({ ref: 'ParkedByRelay' })),
  functions: v.pipe(total, v.metadata({ ref: 'ParkedByFunctions' })),
  counts: v.pipe(
    v.optional(v.record(v.string(), count('Number of entries.'))),
    v.description(
      'Number of entries by route that match the filters, among the newest 20,000. Only with `counts=true`.',
    ),
  ),
})
export type ParkedPage = v.InferOutput<typeof ParkedPage>

export const ParkedGroup = v.pipe(
  v.object({
    from: v.picklist(['relay', 'functions']),
    route: text('The route of the entries.'),
    cause: text('The common reason, with `#` in place of each number and `…` in place of each quoted text.'),
    status: maybeCount("The handler's HTTP status."),
    count: count('Number of entries.'),
    first: time('When the oldest entry was parked.'),
    last: time('When the newest entry was parked.'),
    example: text('The `id` of the newest entry.'),
  }),
  v.metadata({ ref: 'ParkedGroup', description: 'Parked entries with the same cause.' }),
)
export type ParkedGroup = v.InferOutput<typeof ParkedGroup>

export const ParkedGroups = v.object({
  groups: v.pipe(v.array(ParkedGroup), v.description('The groups, largest first, at most 200.')),
  queues: v.pipe(
    v.array(
      v.object({
        route: text('The route.'),
        count: count('Number of parked entries.'),
        oldest: time('When the oldest entry was parked.'),
        next_expiry: time('When the next entry expires.'),
      }),
    ),
    v.description('Parked entries by route.'),
  ),
  matching: count('Number of entries that match the filters.'),
  complete: v.pipe(v.boolean(), v.description('True if all entries were counted. Only the newest 20,000 are.')),
})
export type ParkedGroups = v.InferOutput<typeof ParkedGroups>

export const BinRecord = v.pipe(
  v.object({
    ...ParkedRecord.pipe[0].entries,
    deleted_at: time('When the entry was deleted.'),
    deleted_by: text('The name of the token that deleted it.'),
  }),
  v.metadata({
    ref: 'BinRecord',
    description: 'A deleted entry, which `POST /bin/restore` can restore until `expires_at`.',
  }),
)
export type BinRecord = v.InferOutput<typeof BinRecord>

export const BinPage = pageOf(BinRecord)
export type BinPage = v.InferOutput<typeof BinPage>

export const Moved = v.pipe(
  v.object({
    moved: v.pipe(v.number(), v.description('Number of moved entries.')),
    skipped: v.pipe(
      v.number(),
      v.description(
        'Number of entries that were not moved, because they no longer exist or a replay is about to send them.',
      ),
    ),
    more: v.pipe(v.boolean(), v.description('True if more entries match: ask again, with this `until` in the filter.')),
    until: v.optional(
      v.pipe(
        v.string(),
        v.description('Present if you sent a filter. Entries that were parked after this time are not included.'),
      ),
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
        'Number of entries that the relay was asked to delete permanently. They are not in the bin, and leave `GET /parked` when the relay confirms the deletion.',
      ),
    ),
  }),
  v.metadata({ ref: 'Deleted' }),
)
export type Deleted = v.InferOutput<typeof Deleted>

export const Asked = v.pipe(v.object({ asked: v.literal(true) }), v.metadata({ ref: 'Asked' }))
export type Asked = v.InferOutput<typeof Asked>
