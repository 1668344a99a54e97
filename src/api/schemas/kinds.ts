import * as v from 'valibot'
import { source, text, time } from './fields.ts'

const KindValue = v.pipe(
  v.object({
    notification_id: text('The id of the notification.'),
    source,
    received_at: time('When the relay received it.'),
    stale: v.pipe(v.boolean(), v.description('It came too late to be shown as live.')),
    payload: v.pipe(v.unknown(), v.description('The payload, as the schema of its route made it.')),
  }),
  v.metadata({ ref: 'KindValue' }),
)

export const KindAnswer = v.pipe(
  v.object({
    ref: text('The reference.'),
    unsure: v.pipe(v.boolean(), v.description('Pub/Sub was not heard for a while since: there may be a newer one.')),
    latest: KindValue,
    history: v.pipe(
      v.array(KindValue),
      v.description('Those before it, newest first: 19 at most, fewer where they are large.'),
    ),
  }),
  v.metadata({ ref: 'Kind', description: 'The latest payload of a kind for a reference, and those before it.' }),
)
