import * as v from 'valibot'
import { count, maybeText, pageOf, source, text, time } from './answer-fields.ts'

export const GapRecord = v.pipe(
  v.object({
    notification_id: text('The id of the notification.'),
    source,
    relay: text('The relay that had the gap; another relay may have heard Pub/Sub.'),
    from: time('When Pub/Sub was last heard.'),
    to: time('When Pub/Sub was heard again.'),
    cause: text(
      'start, reconnect, heartbeat_lost, output_buffer_overrun, journal_full, journal_damaged, or another cause from a newer relay.',
    ),
    patterns: v.pipe(v.array(v.string()), v.description('The Pub/Sub patterns that were not heard.')),
    route: maybeText(
      'For journal_full, the route whose notifications were discarded. Null means all routes, or unknown.',
    ),
    lost: v.pipe(
      v.nullable(v.number()),
      v.description(
        'For journal_full, the number of discarded notifications. Otherwise null, because missed messages cannot be counted.',
      ),
    ),
  }),
  v.metadata({
    ref: 'Gap',
    description:
      'A time span in which Pub/Sub could not be heard. Notifications that the dialler published in that span are lost; list items are not.',
    examples: [
      {
        notification_id: 'main/o/1769846400000/0',
        source: 'main',
        relay: 'relay-1',
        from: '2026-01-31T08:00:00.000Z',
        to: '2026-01-31T08:00:03.250Z',
        cause: 'reconnect',
        patterns: ['enigma:notifications*'],
        route: null,
        lost: null,
      },
    ],
  }),
)
export type GapRecord = v.InferOutput<typeof GapRecord>

export const GapsPage = pageOf(GapRecord)
export type GapsPage = v.InferOutput<typeof GapsPage>

export const RelayRecord = v.pipe(
  v.object({
    relay: text('The id of the relay: ENIGMA_RELAY_ID, or its host name.'),
    sources: v.pipe(
      v.array(v.string()),
      v.description('The ids of the sources that the relay reads, as named in ENIGMA_SOURCES.'),
    ),
    lists: v.pipe(
      v.array(v.string()),
      v.description(
        'The lists that the relay consumes, as named in ENIGMA_LISTS. Empty if the relay does not report them.',
      ),
    ),
    started_at: time('When the process of the relay started.'),
    ready_at: time(
      'When the relay last reported that it is ready. It reports once a minute; if this time is older, check the relay.',
    ),
  }),
  v.metadata({
    ref: 'Relay',
    description: 'A relay that was ready within the last 30 days.',
    examples: [
      {
        relay: 'relay-1',
        sources: ['main'],
        lists: ['enigma:notifications:campaigns'],
        started_at: '2026-01-30T06:00:00.000Z',
        ready_at: '2026-01-31T08:00:00.000Z',
      },
    ],
  }),
)
export type RelayRecord = v.InferOutput<typeof RelayRecord>

export const Relays = v.object({ items: v.array(RelayRecord) })
export type Relays = v.InferOutput<typeof Relays>

const maybeCount = (description: string) =>
  v.pipe(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0))), v.description(description))

export const QueueRecord = v.pipe(
  v.object({
    queue: text('The name of the queue.'),
    route: text(
      'The route whose notifications the queue holds, such as agents-call. relay-commands holds commands from operators.',
    ),
    dead_letter: v.pipe(
      v.boolean(),
      v.description(
        'True for a dead-letter queue, which holds the messages that SQS moved until a function parks them.',
      ),
    ),
    waiting: maybeCount('Approximate number of waiting messages. Null if the queue does not exist.'),
    in_flight: maybeCount(
      'Approximate number of messages that a function has received but not finished. Null if the queue does not exist.',
    ),
  }),
  v.metadata({
    ref: 'Queue',
    description: 'A queue of the stack, and the number of its messages.',
    examples: [
      { queue: 'enigma-agents-call.fifo', route: 'agents-call', dead_letter: false, waiting: 12, in_flight: 3 },
    ],
  }),
)
export type QueueRecord = v.InferOutput<typeof QueueRecord>

export const Queues = v.object({
  items: v.array(QueueRecord),
  read_at: time('When the API asked SQS.'),
})
export type Queues = v.InferOutput<typeof Queues>

export const OtherRecord = v.pipe(
  v.object({
    notification_id: text('The id of the notification.'),
    source,
    type: text('The type and sub_type as far as they are known, such as agents/unknown.'),
    reason: maybeText('Why the notification has no route: unknown_type, not_json …'),
    channel: text('The Redis list or channel of the notification.'),
    transport: text('list, pubsub or resync.'),
    received_at: time('When the relay received it.'),
    text: maybeText('The unchanged packet. Null if it is not text.'),
    base64: maybeText('The bytes of the packet in base64. Null if it is text.'),
  }),
  v.metadata({
    ref: 'OtherRecord',
    description: 'A notification of an unknown type, or a packet that cannot be read.',
  }),
)
export type OtherRecord = v.InferOutput<typeof OtherRecord>

export const OtherPage = v.object({
  ...pageOf(OtherRecord).entries,
  counts: v.pipe(
    v.record(v.string(), count('Number of notifications.')),
    v.description('Total number of notifications by type.'),
  ),
})
export type OtherPage = v.InferOutput<typeof OtherPage>

export const KindValue = v.pipe(
  v.object({
    notification_id: text('The id of the notification.'),
    source,
    received_at: time('When the relay received it.'),
    stale: v.pipe(v.boolean(), v.description('The notification arrived too late to be shown as live.')),
    payload: v.pipe(v.unknown(), v.description('The payload, as the schema of its route returned it.')),
  }),
  v.metadata({ ref: 'KindValue' }),
)
export type KindValue = v.InferOutput<typeof KindValue>

export const Kind = v.pipe(
  v.object({
    ref: text('The reference, as in the key.'),
    unsure: v.pipe(
      v.boolean(),
      v.description('A gap has occurred since this payload was heard, so there may be a newer one.'),
    ),
    latest: KindValue,
    history: v.pipe(
      v.array(KindValue),
      v.description('The earlier payloads, newest first: at most 19, and fewer if they are large.'),
    ),
  }),
  v.metadata({ ref: 'Kind', description: 'The latest payload of a kind for a reference, and earlier payloads.' }),
)
export type Kind = v.InferOutput<typeof Kind>

export const Health = v.pipe(
  v.object({
    status: v.literal('ok'),
    store: v.pipe(v.literal('ok'), v.description('The read model answered within the last five seconds.')),
  }),
  v.metadata({ ref: 'Health' }),
)
export type Health = v.InferOutput<typeof Health>

export const Config = v.pipe(
  v.object({
    name: v.pipe(v.string(), v.description('The name of the token.')),
    role: v.pipe(
      v.picklist(['read', 'masked', 'operate']),
      v.description('The role of the token. Only `operate` may write.'),
    ),
    events: v.pipe(
      v.nullable(v.string()),
      v.description(
        'Where changes are streamed: `/events` of this API, or an absolute URL that accepts the same token. Null if there is no stream: poll `GET /changes`.',
      ),
    ),
    replays: v.pipe(v.boolean(), v.description('True if `POST /replays` can send parked notifications again.')),
    dead_letters: v.pipe(
      v.boolean(),
      v.description('True if there are dead-letter queues, which `POST /parked/drain` drains.'),
    ),
  }),
  v.metadata({ ref: 'Config' }),
)
export type Config = v.InferOutput<typeof Config>
