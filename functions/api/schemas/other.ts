import * as v from 'valibot'
import { count, maybeText, pageOf, source, text, time } from './fields.ts'

const OtherRecordAnswer = v.pipe(
  v.object({
    notification_id: text('The notification itself.'),
    source,
    type: text('What is known of its type and sub_type, such as agents/unknown.'),
    reason: maybeText('Why it has no route: unknown_type, not_json …'),
    channel: text('The Redis key or channel that it came from.'),
    transport: text('list, pubsub or resync.'),
    received_at: time('When it was heard.'),
    text: maybeText('The packet as it was; null when it is not text.'),
    base64: maybeText("The packet's bytes in base64 when it is not text."),
  }),
  v.metadata({ ref: 'OtherRecord', description: 'A notification that has no route of its own.' }),
)

export const OtherAnswer = v.object({
  ...pageOf(OtherRecordAnswer).entries,
  counts: v.pipe(
    v.record(v.string(), count('How many.')),
    v.description('How many there were of each type, all told.'),
  ),
})
