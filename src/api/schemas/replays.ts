import * as v from 'valibot'
import { count, maybeText, pageOf, text, time } from './fields.ts'

const filter = v.pipe(
  v.object({
    source: v.optional(v.string()),
    route: v.optional(v.string()),
    reason: v.optional(v.string()),
    status: v.optional(v.number()),
    since: v.optional(v.string()),
    until: v.optional(v.string()),
  }),
  v.description('Which entries, as it was asked for; null where ids were given.'),
)

export const ReplayAnswer = v.pipe(
  v.object({
    id: text('Of the replay: handlers see it as the header `ce-replay`.'),
    state: v.pipe(
      v.picklist(['running', 'done', 'stopped']),
      v.description(
        'running: entries are still to be sent, or the outcome of some is open. stopped: entries that were not sent stay parked.',
      ),
    ),
    operator: maybeText('The name of the token that asked for it.'),
    created_at: time('When it was asked for. Entries that are parked later are not part of it.'),
    rate: v.pipe(v.number(), v.description('Entries sent in a second at most.')),
    filter: v.nullable(filter),
    counts: v.object({
      waiting: count('Found, and not sent yet.'),
      sent: count('Sent, outcome still open.'),
      handled: count('Handled by their function, and parked no longer.'),
      failed_again: count('Parked again, with the new reason.'),
      skipped: count('Not sent: gone by now, sent by another replay, or parked by the relay.'),
    }),
  }),
  v.metadata({
    ref: 'Replay',
    description: 'A job that sends parked notifications through their functions again.',
    examples: [
      {
        id: '0f5a4d4e-7c1b-4a3e-9a43-2b1f6f9d6c11',
        state: 'running',
        operator: 'jane',
        created_at: '2026-01-31T08:00:00.000Z',
        rate: 50,
        filter: { route: 'campaigns-cdr', reason: '422' },
        counts: { waiting: 212, sent: 50, handled: 38, failed_again: 0, skipped: 0 },
      },
    ],
  }),
)

export const ReplaysAnswer = pageOf(ReplayAnswer)
