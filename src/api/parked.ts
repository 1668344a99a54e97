import { Hono } from 'hono'
import * as v from 'valibot'
import type { Reads } from '../store/index.ts'
import { describe } from './describe.ts'
import { moment, paging, path, query, word } from './query.ts'
import { found } from './errors.ts'
import { ParkedPage, ParkedDetail } from '../answers/index.ts'

/** Longest id (characters): of an entry of the relay, that of its notification. */
const MAX_ID = 1_000
const NOT_FOUND = 'No parked entry has this id: it was sent again, dropped, or has expired.'

/** Filters of parked entries, besides who parked them. */
export const parkedFilters = {
  source: v.optional(word('Only entries of this source, as named in ENIGMA_SOURCES.')),
  route: v.optional(word('Only entries of this route, such as agents-call.')),
  reason: v.optional(word('Only entries whose reason contains this text, in any case.')),
  since: v.optional(moment('Only entries parked at or after this:')),
  until: v.optional(moment('Only entries parked at or before this:')),
}

const filters = {
  from: v.optional(
    v.pipe(
      v.picklist(['relay', 'functions'], 'must be relay or functions'),
      v.description('Only entries parked by the relay, or by the functions.'),
    ),
  ),
  ...parkedFilters,
  status: v.optional(
    v.pipe(
      v.string('is given twice'),
      v.regex(/^[1-5]\d\d$/, 'must be an HTTP status, such as 422'),
      v.transform(Number),
      v.description("Only entries with this HTTP status of the handler's."),
    ),
  ),
}

/** `GET /parked` and `GET /parked/:id` */
export function parked(read: Reads): Hono {
  return new Hono()
    .get(
      '/',
      describe({
        summary: 'Parked notifications, newest first',
        description:
          'Notifications that the relay could not send and those that the functions gave up, with the reason. None of them is lost, and reading ' +
          'the list removes none; `POST /replays` sends those of the functions again. A page may hold fewer than `limit` items: the last page is ' +
          'the one whose `next` is null.',
        tag: 'parked',
        answer: ParkedPage,
      }),
      query({ ...filters, ...paging }),
      async (c) => {
        const { since: sinceMs, until: untilMs, ...filter } = c.req.valid('query')
        return c.json(await read.parked({ ...filter, sinceMs, untilMs }))
      },
    )
    .get(
      '/:id',
      describe({
        summary: 'One parked notification',
        description: 'A parked notification with its failed attempts.',
        tag: 'parked',
        answer: ParkedDetail,
        notFound: NOT_FOUND,
      }),
      path({ id: 'The `id` of the entry.' }),
      query(),
      async (c) => {
        const { id } = c.req.valid('param')
        return c.json(found(id.length > MAX_ID ? null : await read.parkedEntry(id), NOT_FOUND, 'id'))
      },
    )
}
