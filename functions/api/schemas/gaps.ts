import * as v from 'valibot'
import { maybeText, pageOf, source, text, time } from './fields.ts'

const GapAnswer = v.pipe(
  v.object({
    notification_id: text('The notification that told it.'),
    source,
    relay: text('The relay that did not hear; another one may have.'),
    from: time('When PubSub was last heard.'),
    to: time('When it was heard again.'),
    cause: text(
      'start, reconnect, heartbeat_lost, output_buffer_overrun, journal_full, journal_damaged, or a word that a later relay sends.',
    ),
    patterns: v.pipe(v.array(v.string()), v.description('The PubSub patterns that were not heard.')),
    route: maybeText('journal_full: the route whose notifications were given up; null: all, or not known.'),
    lost: v.pipe(
      v.nullable(v.number()),
      v.description('journal_full: how many were given up. Nobody can count what was not heard: null.'),
    ),
  }),
  v.metadata({
    ref: 'Gap',
    description:
      'A span of time in which PubSub was not heard. What the dialler published in it, and did not push to a list, is unknown.',
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
