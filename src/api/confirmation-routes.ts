import { Hono } from 'hono'
import * as v from 'valibot'
import { type Change, Confirmation, type Confirmation as Answer } from '../answers/index.ts'
import { type Confirmation as Row, CONFIRMATIONS, judgeRequest } from '../protocol/index.ts'
import type { CommitsPage, Reads } from '../store/index.ts'
import type { ApiEnv } from './auth.ts'
import { cursorOf } from './change-routes.ts'
import { describe } from './openapi.ts'
import { problem } from './problems.ts'
import { query, word } from './query-parameters.ts'

/** How requests wait at `GET /confirmations`. */
export type ConfirmationsOptions = {
  /** How often (ms) the read model is read. One read serves all requests that wait in this process. Default 1,000. */
  readonly pollMs?: number
  /** The longest wait (ms) of a request. Default 25,000, because the API's function is ended after 29 s. */
  readonly limitMs?: number
}

const RESOURCES = [...new Set<string>(CONFIRMATIONS.map((row) => row.resource))]
const expectedOf = (resource: string) =>
  CONFIRMATIONS.filter((row) => row.resource === resource).map((row): string => row.expect)

const parameters = {
  resource: v.pipe(
    word('The resource of the request: `campaigns/7`, `agents/1002`, or `calls/<call_ref>`.', 1_024),
    v.regex(
      new RegExp(`^(?:${RESOURCES.join('|')})/[\\s\\S]`),
      `must be one of ${RESOURCES.map((name) => `${name}/<reference>`).join(', ')}`,
    ),
  ),
  expect: word(
    `The expected state: ${RESOURCES.map((name) => `${expectedOf(name).join(', ')} (${name})`).join('; ')}.`,
  ),
  after: cursorOf('The `cursor` of `GET /changes`, taken before you sent the request, or of the last response.'),
  timeout: v.optional(
    v.pipe(
      v.string('is given twice'),
      v.transform(Number),
      v.number('must be a number of seconds'),
      v.minValue(0, 'must be at least 0'),
      v.description('How long to wait, in seconds. Default and maximum: 25.'),
    ),
  ),
  campaign: v.optional(
    word('Only notifications of this campaign; for agents. Without it, the first deciding notification counts.'),
  ),
  source: v.optional(word('Only notifications of this source.')),
}

type Given = { readonly resource: string; readonly expect: string } & Only
/** Which notifications of the resource count. */
type Only = { readonly campaign?: string | undefined; readonly source?: string | undefined }
type Asked = { readonly row: Row; readonly ref: string } & Only

/** Serves `GET /confirmations`. */
export function confirmations(read: Reads, options: ConfirmationsOptions = {}): Hono<ApiEnv> {
  const { pollMs = 1_000, limitMs = 25_000 } = options
  const readTail = createChangeTail(read, pollMs)
  return new Hono<ApiEnv>().get(
    '/',
    describe({
      summary: 'Wait for the confirmation of a request to the dialler',
      description:
        "Waits for the notification that confirms or refutes a request to the dialler's HTTP API, which answers before the work is done. Take a cursor from " +
        '`GET /changes`, send the request, then ask here with `after`. If the time is over, the outcome is `pending`: ask again with the `cursor` of that response.',
      tag: 'changes',
      answer: Confirmation,
    }),
    query(parameters),
    async (c) => {
      const { after, timeout = Infinity, ...given } = c.req.valid('query')
      const asked = toAsked(given)
      const gone = c.req.raw.signal
      const waitMs = Math.min(timeout * 1000, limitMs)
      const ended = Promise.withResolvers<void>()
      let isOver = waitMs === 0
      const end = () => {
        isOver = true
        ended.resolve()
      }
      const timer = setTimeout(end, waitMs)
      gone.addEventListener('abort', end, { once: true })
      try {
        const seen: string[] = []
        let [page, isAtEnd, isLast] = [await read.commits(after), false, isOver]
        for (;;) {
          const decided = decide(asked, page, seen)
          if (decided !== undefined) return c.json(decided)
          const { cursor, reset } = page
          if (reset || (isLast && !page.more)) return c.json(await toPending(read, asked, { seen, cursor, reset }))
          if (gone.aborted) throw problem('bad-request', 'The client has closed the connection.')
          isAtEnd ||= !page.more
          isLast = isOver
          // The last read includes changes since the last shared read.
          page = isAtEnd && !isLast ? await readTail(cursor, ended.promise) : await read.commits(cursor)
        }
      } finally {
        clearTimeout(timer)
        gone.removeEventListener('abort', end)
      }
    },
  )
}

/** Parses a request. @throws the answer 400 for a state that cannot be expected of the resource */
function toAsked({ resource, expect, campaign, source }: Given): Asked {
  const [name = ''] = resource.split('/', 1)
  const row = CONFIRMATIONS.find((one) => one.resource === name && one.expect === expect)
  if (row === undefined)
    throw problem('bad-parameter', `expect must be one of ${expectedOf(name).join(', ')} for ${name}.`, {
      parameter: 'expect',
    })
  if (campaign !== undefined && name !== 'agents')
    throw problem('bad-parameter', 'campaign is only for agents.', { parameter: 'campaign' })
  return { row, ref: resource.slice(name.length + 1), campaign, source }
}

const isOf = ({ row, ref, campaign, source }: Asked, change: Change): boolean =>
  change.type === row.type &&
  (row.resource === 'calls' ? change.call_ref : change.ref) === ref &&
  (campaign === undefined || change.campaign_ref === campaign) &&
  (source === undefined || change.source === source)

/** Returns the answer if a change decides. @param seen collects the states that do not decide */
function decide(asked: Asked, { commits }: CommitsPage, seen: string[]): Answer | undefined {
  for (const { cursor, changes } of commits)
    for (const change of changes) {
      if (!isOf(asked, change)) continue
      const { from, state, transport } = change
      const verdict = judgeRequest(asked.row, { from, state, isResync: transport === 'resync' })
      if (verdict === 'undecided') {
        if (state !== null && state !== seen.at(-1)) seen.push(state)
        continue
      }
      const isConfirmed = verdict === 'confirmed'
      return {
        outcome: isConfirmed ? 'confirmed' : 'failed',
        reason: isConfirmed ? null : verdict.reason,
        notification: {
          id: change.notification_id ?? '',
          type: change.type,
          state,
          at: change.at,
          source: change.source ?? '',
          campaign_ref: change.campaign_ref,
        },
        state,
        unsure: false,
        seen,
        cursor,
        reset: false,
      }
    }
  return undefined
}

/** Returns the answer while no notification has decided, with the current state; for an agent, its latest state. */
async function toPending(
  read: Reads,
  { row: { resource }, ref, campaign, source }: Asked,
  rest: Pick<Answer, 'seen' | 'cursor' | 'reset'>,
): Promise<Answer> {
  const states = resource === 'agents' || resource === 'campaigns' ? await read.presentStates(resource, ref) : []
  const [latest] = states
    .filter(
      (one) =>
        (campaign === undefined || one.campaign_ref === campaign) && (source === undefined || one.source === source),
    )
    .toSorted((one, other) => Date.parse(other.since) - Date.parse(one.since))
  const [state, unsure] = [latest?.status ?? null, latest?.unsure ?? false]
  return { outcome: 'pending', reason: null, notification: null, state, unsure, ...rest }
}

/**
 * Waits for the commits after a cursor. Resolves with none if nothing arrived in time, `ended` resolved first, or the read model did not
 * answer.
 */
export type ReadTail = (cursor: string, ended: Promise<void>) => Promise<CommitsPage>

/**
 * A read that takes longer (ms) than this is abandoned: the runtime may have stopped the request that began it. All attempts of a read together
 * take less time.
 */
const MAX_READ_MS = 20_000

/** One read, shared by several waiting requests. */
type Shared = { readonly from: string; readonly startMs: number; waiting: number; page: Promise<CommitsPage> }

/**
 * Creates the reader of the end of the change stream for all waiting requests of this process. They share one read per `pollMs`, whatever
 * their cursors, since each takes only the commits after its own cursor. Nothing is read while nobody waits.
 */
export function createChangeTail({ commits }: Pick<Reads, 'commits'>, pollMs: number): ReadTail {
  let shared: Shared | undefined
  /** The last read did not reach the end of the stream, so the next one starts at once. */
  let isBehind = false

  const start = (from: string): Shared => {
    const nothing = { commits: [], cursor: from, more: false, reset: false }
    const one: Shared = { from, startMs: Date.now(), waiting: 0, page: Promise.resolve(nothing) }
    const read = async (): Promise<CommitsPage> => {
      await new Promise((resolve) => setTimeout(resolve, isBehind ? 0 : pollMs))
      try {
        if (one.waiting === 0) return nothing
        const page = await commits(from)
        isBehind = page.more
        return page
      } catch {
        // The next read uses the same cursor. A request whose time is over reads again, and reports the error.
        return nothing
      } finally {
        if (shared === one) shared = undefined
      }
    }
    one.page = read()
    return one
  }

  return async (cursor, ended) => {
    if (shared !== undefined && Date.now() - shared.startMs > MAX_READ_MS) shared = undefined
    const one = (shared ??= start(cursor))
    // The shared read began after this cursor. This happens only on a request's first wait.
    if (isBefore(cursor, one.from)) return commits(cursor)
    one.waiting++
    try {
      const page = (await Promise.race([one.page, ended])) ?? { commits: [], cursor, more: false, reset: false }
      if (page.reset) return page
      const own = page.commits.filter((commit) => isBefore(cursor, commit.cursor))
      return { ...page, commits: own, cursor: isBefore(cursor, page.cursor) ? page.cursor : cursor }
    } finally {
      one.waiting--
    }
  }
}

/** Returns whether one place in the stream precedes another. Both have the form `<unix ms>-<number>`. */
function isBefore(one: string, other: string): boolean {
  const [ms = 0n, number = 0n] = one.split('-').map(BigInt)
  const [otherMs = 0n, otherNumber = 0n] = other.split('-').map(BigInt)
  return ms === otherMs ? number < otherNumber : ms < otherMs
}
