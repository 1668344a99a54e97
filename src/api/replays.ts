import { Hono, type MiddlewareHandler } from 'hono'
import { describeRoute, resolver, validator } from 'hono-openapi'
import * as v from 'valibot'
import { startReplay, stopReplay, type Reads, type StoreWriter } from '../store/index.ts'
import type { ApiEnv } from './auth.ts'
import { describe, problemAs } from './describe.ts'
import { parkedFilters } from './parked.ts'
import { found, problem } from './errors.ts'
import { paging, path, query } from './query.ts'
import { Replay, ReplaysPage } from '../answers/index.ts'

/** How the API starts replays. */
export type ReplayOptions = {
  readonly commit: StoreWriter['commit']
  /** Asks the replay function for the next step of this replay. */
  readonly sendStep: (job: string) => Promise<void>
}

const NOT_FOUND = 'No replay has this id, or it has expired.'
const MAX_IDS = 1_000
const MAX_ID = 64
const MAX_RATE = 1_000
const DEFAULT_RATE = 50

/** An object without other members: a filter with a slip in its name would match everything. */
const closed = <Entries extends v.ObjectEntries>(entries: Entries) =>
  v.strictObject(entries, ({ expected }) =>
    expected === 'never' ? `is not known; write ${Object.keys(entries).join(', ')}` : 'must be an object',
  )

const status = v.pipe(v.number('must be a number'), v.integer('must be a whole number'))
const Body = v.pipe(
  closed({
    ids: v.optional(
      v.pipe(
        v.array(
          v.pipe(v.string('must be text'), v.nonEmpty('must not be empty'), v.maxLength(MAX_ID, 'is too long')),
          'must be a list',
        ),
        v.minLength(1, 'must not be empty'),
        v.maxLength(MAX_IDS, `must have at most ${MAX_IDS} entries; use filter for more`),
        v.description('The ids of parked entries.'),
      ),
    ),
    filter: v.optional(
      v.pipe(
        closed({ ...parkedFilters, status: v.optional(status) }),
        v.description('All entries of functions that match, as in `GET /parked`; {} is all.'),
      ),
    ),
    rate: v.optional(
      v.pipe(
        v.number('must be a number'),
        v.integer('must be a whole number'),
        v.minValue(1, 'must be at least 1'),
        v.maxValue(MAX_RATE, `must be at most ${MAX_RATE}`),
        v.description(`Entries sent in a second at most. Default: ${DEFAULT_RATE}.`),
      ),
    ),
  }),
  v.check(({ ids, filter }) => (ids === undefined) !== (filter === undefined), 'needs either ids or filter'),
)

/** `POST /replays`, `GET /replays`, `GET /replays/:id` and `POST /replays/:id/stop` */
export function replays(read: Reads, replay: ReplayOptions | undefined, now: () => number): Hono<ApiEnv> {
  const readOne = async (id: string): Promise<Replay> =>
    found(id.length > MAX_ID ? null : await read.replay(id), NOT_FOUND, 'id')
  const writes = () => {
    if (replay !== undefined) return replay
    throw problem('unavailable', 'This API has no queue for replays: set ENIGMA_QUEUE_PREFIX.')
  }
  return new Hono<ApiEnv>()
    .post(
      '/',
      describeRoute({
        summary: 'Send parked notifications again',
        description:
          'Starts a job that sends parked entries to the queues of their routes again, oldest first, with their original bytes and message groups. ' +
          'An entry leaves the list when its function has handled it; one that fails again stays, with its new reason. Needs a token with the role `operate`.',
        tags: ['replays'],
        responses: {
          202: { description: 'The replay', content: { 'application/json': { schema: resolver(Replay) } } },
          400: problemAs('The body is wrong; `parameter` names the field.'),
          401: problemAs('The bearer token is missing or wrong.'),
          403: problemAs('The token does not have the role operate.'),
          503: problemAs('The read model or SQS does not answer. `GET /replays` tells whether it was started.'),
        },
      }),
      requireOperator,
      refuseMalformed,
      validator('json', Body, (result) => {
        if (result.success) return
        const [issue] = result.error
        const parameter = (issue?.path ?? [])
          .map((step) => String(typeof step === 'object' ? step.key : step))
          .join('.')
        throw problem('bad-parameter', `${parameter || 'The body'} ${toWords(issue?.message)}.`, { parameter })
      }),
      async (c) => {
        const { commit, sendStep } = writes()
        const { ids, filter, rate = DEFAULT_RATE } = c.req.valid('json')
        const [id, nowMs] = [crypto.randomUUID(), now()]
        const { since: sinceMs, until, ...more } = filter ?? {}
        const stored = {
          operator: c.get('caller').name,
          created_at: new Date(nowMs).toISOString(),
          rate,
          filter: filter === undefined ? null : { ...more, sinceMs, untilMs: Math.min(until ?? nowMs, nowMs) },
        }
        await commit({ effects: [startReplay(id, stored, ids)], done: new Map() })
        try {
          await sendStep(id)
        } catch {
          await commit({ effects: [stopReplay(id)], done: new Map() })
          throw problem('unavailable', 'SQS does not accept the first step of the replay. Nothing was sent; try again.')
        }
        return c.json(await readOne(id), 202, { location: `${new URL(c.req.url).pathname.replace(/\/$/, '')}/${id}` })
      },
    )
    .get(
      '/',
      describe({
        summary: 'All replays',
        description: 'The replays of the last 30 days, newest first.',
        tag: 'replays',
        answer: ReplaysPage,
      }),
      query(paging),
      async (c) => c.json(await read.replays(c.req.valid('query'))),
    )
    .get(
      '/:id',
      describe({
        summary: 'One replay',
        description: 'A replay and its counts.',
        tag: 'replays',
        answer: Replay,
        notFound: NOT_FOUND,
      }),
      path({ id: 'The `id` of the replay.' }),
      query(),
      async (c) => c.json(await readOne(c.req.valid('param').id)),
    )
    .post(
      '/:id/stop',
      describe({
        summary: 'Stop a replay',
        description: 'Entries that were not sent stay parked. Needs a token with the role `operate`.',
        tag: 'replays',
        answer: Replay,
        notFound: NOT_FOUND,
      }),
      requireOperator,
      path({ id: 'The `id` of the replay.' }),
      query(),
      async (c) => {
        const { id } = c.req.valid('param')
        await readOne(id)
        await writes().commit({ effects: [stopReplay(id)], done: new Map() })
        return c.json(await readOne(id))
      },
    )
}

/** The validator itself would answer without a problem. */
const refuseMalformed: MiddlewareHandler<ApiEnv> = async (c, next) => {
  const body: unknown = await c.req.json().catch(() => undefined)
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw problem('bad-request', 'The body must be a JSON object with ids or filter, sent as application/json.')
  await next()
}

/** The filters are those of a query string, where a value that is not text is one that is given twice. */
const toWords = (message = 'is not valid'): string => (message === 'is given twice' ? 'must be text' : message)

const requireOperator: MiddlewareHandler<ApiEnv> = async (c, next) => {
  if (c.get('caller').role !== 'operate')
    throw problem('forbidden', 'This needs a token with the role operate: a line name:operate:token of API_TOKENS.')
  await next()
}
