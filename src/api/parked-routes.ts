import { Hono } from 'hono'
import * as v from 'valibot'
import { Asked, ParkedDetail, ParkedGroups, ParkedPage } from '../answers/index.ts'
import { gunzipBody, GZIP } from '../protocol/index.ts'
import type { ParkedMessage, Reads } from '../store/index.ts'
import type { ApiEnv } from './auth.ts'
import { isMasked, maskContent } from './mask.ts'
import { describe } from './openapi.ts'
import { MAX_NOTIFICATION_ID, operate, type OperateOptions, parkedFilters, requireOperator } from './operate.ts'
import { found, problem } from './problems.ts'
import { flag, paging, path, query } from './query-parameters.ts'

const NOT_FOUND = 'No parked entry has this id. It may have been sent again, deleted, or expired.'

const filters = {
  from: v.optional(
    v.pipe(
      v.picklist(['relay', 'functions'], 'must be relay or functions'),
      v.description('Only entries that the relay parked, or only entries that the functions parked.'),
    ),
  ),
  ...parkedFilters,
  status: v.optional(
    v.pipe(
      v.string('is given twice'),
      v.regex(/^[1-5]\d\d$/, 'must be an HTTP status, such as 422'),
      v.transform(Number),
      v.description('Only entries whose handler returned this HTTP status.'),
    ),
  ),
}

/** Serves `GET /parked`, `GET /parked/groups`, `GET /parked/:id` and `POST /parked/drain`. */
export function parked(read: Reads, options: OperateOptions | undefined, now: () => number): Hono<ApiEnv> {
  const toQuery = ({
    since: sinceMs,
    until: untilMs,
    ...rest
  }: {
    since?: number | undefined
    until?: number | undefined
  }) => ({
    ...rest,
    sinceMs,
    untilMs,
  })
  return new Hono<ApiEnv>()
    .get(
      '/',
      describe({
        summary: 'List parked notifications',
        description:
          'Returns the notifications that the relay could not send and that the functions could not handle, newest first, with the reason. Reading ' +
          'the list removes none of them; `POST /replays` sends them again. A page may hold fewer than `limit` items: the last page is ' +
          'the one whose `next` is null.',
        tag: 'parked',
        answer: ParkedPage,
      }),
      query({ ...filters, ...paging, counts: flag('Returns `counts`: the number of matching entries by route.') }),
      async (c) => {
        const { counts: withCounts = false, cursor, limit, ...own } = c.req.valid('query')
        const filter = toQuery(own)
        const [page, all] = await Promise.all([
          read.parked({ ...filter, cursor, limit }),
          withCounts ? read.parkedGroups(filter) : undefined,
        ])
        if (all === undefined) return c.json(page)
        return c.json({ ...page, counts: Object.fromEntries(all.queues.map(({ route, count }) => [route, count])) })
      },
    )
    .get(
      '/groups',
      describe({
        summary: 'Count parked notifications by cause',
        description:
          'Returns the number of entries by cause and by route. A cause is a reason without its numbers and quoted texts, so that similar reasons form ' +
          'one group. Only the newest 20,000 entries are counted; `complete` is true if these are all.',
        tag: 'parked',
        answer: ParkedGroups,
      }),
      query(filters),
      async (c) => c.json(await read.parkedGroups(toQuery(c.req.valid('query')))),
    )
    .get(
      '/:id',
      describe({
        summary: 'Get a parked notification',
        description:
          'Returns a parked notification with its failed attempts, its content, and the other parked entries of its lane. Personal data is masked; ' +
          '`reveal=true` shows it to a token with the role `operate`, and is recorded in the audit log.',
        tag: 'parked',
        answer: ParkedDetail,
        notFound: NOT_FOUND,
      }),
      path({ id: 'The `id` of the entry.' }),
      query({ reveal: flag('Shows the content with its personal data.') }),
      async (c) => {
        const { id } = c.req.valid('param')
        const { reveal: isAsked = false } = c.req.valid('query')
        const caller = c.get('caller')
        const reveal = isAsked && !isMasked(c)
        if (isAsked && caller.role !== 'operate')
          throw problem('forbidden', 'reveal needs a token with the role operate.', { parameter: 'reveal' })
        const entry = found(id.length > MAX_NOTIFICATION_ID ? null : await read.parkedEntry(id), NOT_FOUND, 'id')
        if (reveal) await operate(options, now).write(caller, { action: 'reveal', what: id, count: 1 })
        const [message] = await read.parkedMessages([id])
        const text = message && (await readText(message))
        return c.json({
          ...entry,
          content: text === undefined ? null : { text: reveal ? text : maskContent(text), masked: !reveal },
        } satisfies ParkedDetail)
      },
    )
    .post(
      '/drain',
      describe({
        summary: 'Drain the dead-letter queues',
        description:
          'Parks the messages in the dead-letter queues now; otherwise this happens every five minutes. The response arrives before the work is done. ' +
          'Needs a token with the role `operate`.',
        tag: 'parked',
        answer: Asked,
      }),
      requireOperator,
      query(),
      async (c) => {
        const { drain, write } = operate(options, now)
        if (drain === undefined)
          throw problem(
            'unavailable',
            'This deployment has no dead-letter queues: without SQS, failed notifications are parked directly.',
          )
        await write(c.get('caller'), { action: 'drain', what: 'dead-letter queues', count: null })
        try {
          await drain()
        } catch {
          throw problem('unavailable', 'SQS did not accept the request; try again.')
        }
        return c.json({ asked: true } satisfies Asked)
      },
    )
}

/** Returns the uncompressed body of a message. */
const readText = async ({ body, contentEncoding }: ParkedMessage): Promise<string> =>
  contentEncoding === GZIP ? gunzipBody(body).catch(() => body) : body
