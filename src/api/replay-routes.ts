import { Hono } from 'hono'
import * as v from 'valibot'
import { OUTCOMES, Replay, ReplayDetail, ReplayPlan, ReplaysPage } from '../answers/index.ts'
import { type Reads, startReplay, stopReplay } from '../store/index.ts'
import type { ApiEnv } from './auth.ts'
import { describe } from './openapi.ts'
import {
  askRelay,
  closed,
  filter,
  findOfRelay,
  freeze,
  ids,
  MAX_ID,
  operate,
  type OperateOptions,
  posted,
  requireCommands,
  requireOperator,
} from './operate.ts'
import { found, problem } from './problems.ts'
import { moment, paging, path, query, word } from './query-parameters.ts'

const NOT_FOUND = 'No replay has this id, or it has expired.'
const MAX_RATE = 1_000
const DEFAULT_RATE = 50

/** The route whose notifications the read model stores in full: CDRs. */
const CDR_ROUTE = 'campaigns-cdr'

const cdrFilter = v.pipe(
  closed({
    from: v.optional(moment('Dialled at or after this:')),
    to: v.optional(moment('Dialled at or before this:')),
    campaign: v.optional(word('Only CDRs of this campaign.')),
    agent: v.optional(word('Only CDRs of the agent with this extension.')),
    end_reason: v.optional(word('Only CDRs with this end reason.')),
  }),
  v.description('CDRs in the read model. They are sent to the function of `route` again, with the same bytes and ids.'),
)

/** Limits the CDRs of a request to those dialled until now, so that later ones do not match. */
function toCdrs({ from, to, campaign, agent, end_reason: endReason }: v.InferOutput<typeof cdrFilter>, nowMs: number) {
  return { route: CDR_ROUTE, fromMs: from, toMs: Math.min(to ?? nowMs, nowMs), campaign, agent, endReason }
}

const Body = v.pipe(
  closed({
    ids: v.optional(ids),
    filter: v.optional(filter),
    cdrs: v.optional(cdrFilter),
    route: v.optional(
      v.pipe(
        v.literal(CDR_ROUTE, `must be ${CDR_ROUTE}`),
        v.description(`With \`cdrs\`: the route of the function that receives them, ${CDR_ROUTE}.`),
      ),
    ),
    rate: v.optional(
      v.pipe(
        v.number('must be a number'),
        v.integer('must be a whole number'),
        v.minValue(1, 'must be at least 1'),
        v.maxValue(MAX_RATE, `must be at most ${MAX_RATE}`),
        v.description(`Maximum number of entries sent per second. Default: ${DEFAULT_RATE}.`),
      ),
    ),
    plan: v.optional(
      v.pipe(
        v.boolean('must be true or false'),
        v.description('Makes this a dry run: returns what the replay would do, and sends nothing.'),
      ),
    ),
  }),
  v.check(
    ({ ids: own, filter: fits, cdrs }) => [own, fits, cdrs].filter((one) => one !== undefined).length === 1,
    'needs one of ids, filter and cdrs',
  ),
  v.check(({ cdrs, route }) => cdrs === undefined || route !== undefined, `needs route with cdrs: ${CDR_ROUTE}`),
  // Beside `filter`, `route` would be ignored, so the replay would send entries of all routes.
  v.check(
    ({ cdrs, route }) => cdrs !== undefined || route === undefined,
    'has route without cdrs: move route into filter',
  ),
)

/** Serves `POST /replays`, `GET /replays`, `GET /replays/:id` and `POST /replays/:id/stop`. */
export function replays(read: Reads, options: OperateOptions | undefined, now: () => number): Hono<ApiEnv> {
  const readOne = async (id: string): Promise<Replay> =>
    found(id.length > MAX_ID ? null : await read.replay(id), NOT_FOUND, 'id')
  return new Hono<ApiEnv>()
    .post(
      '/',
      ...posted(
        {
          summary: 'Start a replay',
          description:
            'Starts a job that sends parked entries to the queues of their routes again, oldest first, with their original bytes and message groups. Without ' +
            'SQS, a relay sends them to its targets (`waits_for` is `relay` until a relay asks for them). ' +
            'An entry leaves the list when its function has handled it; an entry that fails again stays, with its new reason. The relay itself sends entries of the ' +
            'relay: `relay` is the number of entries that it was asked to send, and each leaves the list when SQS has accepted it. With `cdrs`, the job sends CDRs ' +
            'from the read model. Functions receive the id of the job in the header `ce-replay`. With `plan`, nothing is sent.',
          tag: 'replays',
          answers: { 200: [ReplayPlan, 'The result of the dry run'], 202: [Replay, 'The replay'] },
        },
        Body,
      ),
      async (c) => {
        const { ids: own, filter: fits, cdrs, rate = DEFAULT_RATE, plan } = c.req.valid('json')
        const [id, nowMs, caller] = [crypto.randomUUID(), now(), c.get('caller')]
        const frozen = fits === undefined ? null : freeze(fits, nowMs)
        const isOfRelay = frozen?.from === 'relay'
        const ofCdrs = cdrs === undefined ? undefined : toCdrs(cdrs, nowMs)
        if (plan === true) {
          if (ofCdrs !== undefined) return c.json(await read.replayPlan({ cdrs: { ...ofCdrs, keptUntilMs: nowMs } }))
          if (frozen === null) return c.json(await read.replayPlan({ ids: own ?? [] }))
          const until = new Date(frozen.untilMs).toISOString()
          return c.json({ ...(await read.replayPlan({ filter: frozen })), until } satisfies ReplayPlan)
        }
        const { commit, write, sendStep, sendCommand } = operate(options, now)
        const ofRelay = isOfRelay || own !== undefined ? await findOfRelay(read, own, frozen) : []
        requireCommands(sendCommand, ofRelay)
        const sent = new Set(ofRelay.map((entry) => entry.id))
        const rest = isOfRelay ? [] : own?.filter((entry) => !sent.has(entry))
        const stored = {
          operator: caller.name,
          created_at: new Date(nowMs).toISOString(),
          rate,
          filter: frozen,
          relay: ofRelay.length,
          ...(ofCdrs === undefined ? {} : { cdrs: ofCdrs }),
          ...(sendStep === undefined ? { by: 'relay' as const } : {}),
        }
        const count = isOfRelay ? ofRelay.length : own === undefined ? null : new Set(own).size
        await write(caller, { action: 'replay', what: id, count }, [startReplay(id, stored, rest)])
        try {
          await askRelay(sendCommand, 'retry', ofRelay, caller)
        } catch (error) {
          await commit(stopReplay(id))
          throw error
        }
        try {
          if (rest === undefined || rest.length > 0) await sendStep?.(id)
        } catch {
          await commit(stopReplay(id))
          throw problem('unavailable', 'SQS did not accept the first step of the replay. Nothing was sent; try again.')
        }
        return c.json(await readOne(id), 202, { location: `${new URL(c.req.url).pathname.replace(/\/$/, '')}/${id}` })
      },
    )
    .get(
      '/',
      describe({
        summary: 'List replays',
        description: 'Returns the replays of the last 30 days, newest first.',
        tag: 'replays',
        answer: ReplaysPage,
      }),
      query(paging),
      async (c) => c.json(await read.replays(c.req.valid('query'))),
    )
    .get(
      '/:id',
      describe({
        summary: 'Get a replay',
        description:
          'Returns a replay with its counts, and a page of its messages with their outcomes. With `outcome`, a page may hold fewer than `limit` messages: the last ' +
          'page is the one whose `next` is null.',
        tag: 'replays',
        answer: ReplayDetail,
        notFound: NOT_FOUND,
      }),
      path({ id: 'The `id` of the replay.' }),
      query({
        outcome: v.optional(
          v.pipe(
            v.picklist(OUTCOMES, `must be one of ${OUTCOMES.join(', ')}`),
            v.description('Only messages with this outcome.'),
          ),
        ),
        ...paging,
      }),
      async (c) => {
        const { id } = c.req.valid('param')
        const detail = id.length > MAX_ID ? null : await read.replayDetail(id, c.req.valid('query'))
        return c.json(found(detail, NOT_FOUND, 'id'))
      },
    )
    .post(
      '/:id/stop',
      describe({
        summary: 'Stop a replay',
        description: 'Stops a replay. Entries that were not sent stay parked. Needs a token with the role `operate`.',
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
        await operate(options, now).write(c.get('caller'), { action: 'stop', what: id, count: null }, [stopReplay(id)])
        return c.json(await readOne(id))
      },
    )
}
