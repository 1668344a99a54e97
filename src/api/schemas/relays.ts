import * as v from 'valibot'
import { text, time } from './fields.ts'

const RelayAnswer = v.pipe(
  v.object({
    relay: text('Its id: ENIGMA_RELAY_ID, or its host name.'),
    sources: v.pipe(v.array(v.string()), v.description('The sources that it reads, as named in ENIGMA_SOURCES.')),
    started_at: time('When its process started.'),
    ready_at: time(
      'When it last reported that it is ready. It reports once a minute; if this is older, check the relay.',
    ),
  }),
  v.metadata({
    ref: 'Relay',
    description: 'A relay that was ready within the last 30 days.',
    examples: [
      {
        relay: 'relay-1',
        sources: ['main'],
        started_at: '2026-01-30T06:00:00.000Z',
        ready_at: '2026-01-31T08:00:00.000Z',
      },
    ],
  }),
)

export const RelaysAnswer = v.object({ items: v.array(RelayAnswer) })
