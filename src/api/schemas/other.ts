import * as v from 'valibot'
import { count, maybeText, pageOf, source, text, time } from './fields.ts'

const OtherRecordAnswer = v.pipe(
  v.object({
    notification_id: text('The id of the notification.'),
    source,
    type: text('Its type and sub_type as far as known, such as agents/unknown.'),
    reason: maybeText('Why it has no route: unknown_type, not_json …'),
    channel: text('The Redis list or channel of the notification.'),
    transport: text('list, pubsub or resync.'),
    received_at: time('When it was heard.'),
    text: maybeText('The unchanged packet; null when it is not text.'),
    base64: maybeText("The packet's bytes in base64 when it is not text."),
  }),
  v.metadata({
    ref: 'OtherRecord',
    description: 'A notification of an unknown type, or a packet that cannot be read.',
  }),
)

export const OtherAnswer = v.object({
  ...pageOf(OtherRecordAnswer).entries,
  counts: v.pipe(v.record(v.string(), count('Number of notifications.')), v.description('Total number for each type.')),
})
