import * as v from 'valibot'
import { maybeText, pageOf, source, text, time } from './fields.ts'

const GapAnswer = v.pipe(
  v.object({
    notification_id: text('The id of the notification.'),
    source,
    relay: text('The relay that had the gap; another relay may have heard Pub/Sub.'),
    from: time('When Pub/Sub was last heard.'),
    to: time('When Pub/Sub was heard again.'),
    cause: text(
      'start, reconnect, heartbeat_lost, output_buffer_overrun, journal_full, journal_damaged, or a cause of a newer relay.',
    ),
    patterns: v.pipe(v.array(v.string()), v.description('The Pub/Sub patterns that were not heard.')),
    route: maybeText('journal_full: the route whose notifications were discarded; null: all routes, or not known.'),
    lost: v.pipe(
      v.nullable(v.number()),
      v.description(
        'journal_full: number of discarded notifications. Otherwise null, because messages that were not heard cannot be counted.',
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

export const GapsAnswer = pageOf(GapAnswer)
