import type { MiddlewareHandler } from 'hono'
import { describeRoute, resolver, validator } from 'hono-openapi'
import * as v from 'valibot'
import { MAX_COMMAND_IDS, type RelayCommand } from '../protocol/index.ts'
import { audit, type Effect, type OfRelay, type ParkedQuery, type Reads, type StoreWriter } from '../store/index.ts'
import type { ApiEnv, Caller } from './auth.ts'
import { problemAs } from './openapi.ts'
import { problem } from './problems.ts'
import { moment, word } from './query-parameters.ts'

/** How the API makes changes. */
export type OperateOptions = {
  readonly commit: StoreWriter['commit']
  /** Sends the first step of this replay to the replay function. Absent: relays drive replays, by `POST /replays/next`. */
  readonly sendStep?: (job: string) => Promise<void>
  /** Sends a command to the relays. A relay that reads the source executes it. Absent: relays accept no commands. */
  readonly sendCommand?: (command: RelayCommand) => Promise<void>
  /** Asks the replay function to drain the dead-letter queues now. Absent: there are no queues. */
  readonly drain?: () => Promise<void>
}

/** Writes effects together with a line of the audit log. */
export type Write = (
  caller: Caller,
  entry: { readonly action: string; readonly what: string; readonly count: number | null },
  effects?: readonly Effect[],
) => Promise<void>

export type Operate = Pick<OperateOptions, 'sendStep' | 'sendCommand' | 'drain'> & {
  readonly commit: (...effects: readonly Effect[]) => Promise<void>
  readonly write: Write
}

/** Returns the operations of this API. @throws the answer 503 if the API cannot write */
export function operate(options: OperateOptions | undefined, now: () => number): Operate {
  if (options === undefined)
    throw problem('unavailable', 'This API cannot write: pass createApi the option replay, as apiOptions() does.')
  const commit = async (...effects: readonly Effect[]) => options.commit({ effects, done: new Map() })
  return {
    ...options,
    commit,
    write: async ({ name }, entry, effects = []) => {
      const at = new Date(now()).toISOString()
      await commit(...effects, audit({ id: crypto.randomUUID(), at, operator: name, ...entry }))
    },
  }
}

export const requireOperator: MiddlewareHandler<ApiEnv> = async (c, next) => {
  if (c.get('caller').role !== 'operate')
    throw problem(
      'forbidden',
      'This request needs a token with the role operate: a line name:operate:token in API_TOKENS.',
    )
  await next()
}

/** Maximum number of ids in one request, and of characters of each: ids of a relay have at most about 110. */
const MAX_IDS = 1_000
const MAX_ENTRY_ID = 200

/** Maximum characters of the id of a replay. */
export const MAX_ID = 64

/** Returns the schema of an object that rejects unknown members: a filter with a misspelled name would match everything. */
export const closed = <Entries extends v.ObjectEntries>(entries: Entries) =>
  v.strictObject(entries, ({ expected }) =>
    expected === 'never' ? `is unknown; the known members are ${Object.keys(entries).join(', ')}` : 'must be an object',
  )

export const ids = v.pipe(
  v.array(
    v.pipe(v.string('must be text'), v.nonEmpty('must not be empty'), v.maxLength(MAX_ENTRY_ID, 'is too long')),
    'must be a list',
  ),
  v.minLength(1, 'must not be empty'),
  v.maxLength(MAX_IDS, `must have at most ${MAX_IDS} entries; use filter for more`),
  v.description('The ids of parked entries.'),
)

/** Maximum characters of the id of a notification. Notifications of other senders may have longer ids than those of a relay. */
export const MAX_NOTIFICATION_ID = 1_000

/** Maximum characters of a cause. A cause can be as long as a reason. */
const MAX_CAUSE = 2_000

/** The filters of parked entries, except `from`. */
export const parkedFilters = {
  source: v.optional(word('Only entries of this source, as named in ENIGMA_SOURCES.')),
  route: v.optional(word('Only entries of this route, such as agents-call.')),
  reason: v.optional(word('Only entries whose reason contains this text, ignoring case.')),
  cause: v.optional(word('Only entries of the group with this `cause`: see `GET /parked/groups`.', MAX_CAUSE)),
  reference: v.optional(word('Only entries with this reference: the `subject` of the event.')),
  notification: v.optional(word('Only entries of the notification with this id.', MAX_NOTIFICATION_ID)),
  since: v.optional(moment('Only entries parked at or after this:')),
  until: v.optional(moment('Only entries parked at or before this:')),
}

const status = v.pipe(v.number('must be a number'), v.integer('must be a whole number'))
export const filter = v.pipe(
  closed({
    from: v.optional(v.picklist(['relay', 'functions'], 'must be relay or functions')),
    ...parkedFilters,
    status: v.optional(status),
  }),
  v.description(
    'All entries that match, with the filters of `GET /parked`. {} selects all entries of functions; entries of the relay need `"from": "relay"`.',
  ),
)

/** Limits a filter to entries parked until now, so that entries parked later do not match. */
export function freeze({ since: sinceMs, until, ...rest }: v.InferOutput<typeof filter>, nowMs: number) {
  return { ...rest, sinceMs, untilMs: Math.min(until ?? nowMs, nowMs) }
}

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json *(?:;|$)/i

/** Rejects a body that is not a JSON object. The validator alone would answer without problem+json, and treat another type as `{}`. */
export const refuseMalformed: MiddlewareHandler<ApiEnv> = async (c, next) => {
  const isJson = JSON_TYPE.test(c.req.header('content-type') ?? '')
  const body: unknown = isJson ? await c.req.json().catch(() => undefined) : undefined
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw problem('bad-request', 'The body must be a JSON object, sent as application/json.')
  await next()
}

/** Some filters are shared with query strings. There, "not text" means "given twice"; in a body it means "not text". */
const toWords = (message = 'is not valid'): string => (message === 'is given twice' ? 'must be text' : message)

/** Checks a body. Answers 400 with the name of the first invalid member. */
export const json = <Body extends v.GenericSchema>(body: Body) =>
  validator('json', body, (result) => {
    if (result.success) return
    const [issue] = result.error
    const parameter = (issue?.path ?? []).map((step) => String(typeof step === 'object' ? step.key : step)).join('.')
    throw problem('bad-parameter', `${parameter || 'The body'} ${toWords(issue?.message)}.`, { parameter })
  })

export type Written = {
  readonly summary: string
  readonly description: string
  readonly tag: string
  /** The schema and description of each answer by status. */
  readonly answers: Readonly<Record<number, readonly [schema: v.GenericSchema, description: string]>>
}

/** Adds a POST to the OpenAPI document, and accepts requests of operators with a valid body. */
export function posted<Body extends v.GenericSchema>({ summary, description, tag, answers }: Written, body: Body) {
  const responses = Object.fromEntries(
    Object.entries(answers).map(([code, [schema, words]]) => [
      code,
      { description: words, content: { 'application/json': { schema: resolver(schema) } } },
    ]),
  )
  const described = describeRoute({
    summary,
    description: `${description} Needs a token with the role \`operate\`, and is recorded in the audit log.`,
    tags: [tag],
    responses: {
      ...responses,
      400: problemAs('The body is invalid; `parameter` names the member.'),
      401: problemAs('The bearer token is missing or invalid.'),
      403: problemAs('The token does not have the role operate, or a page of another origin sent the request.'),
      503: problemAs('The read model or SQS does not answer, or this API cannot write.'),
    },
  })
  return [described, requireOperator, refuseMalformed, json(body)] as const
}

/**
 * Finds the relay's entries: those with these ids, or those that match the filter. They are on the parked list in a dialler's Redis, which
 * functions cannot reach. The API sends the relay a command to send or drop them, and the relay reports the result in its notices.
 *
 * @throws the answer 400 if there are too many
 */
export async function findOfRelay(
  read: Reads,
  wanted: readonly string[] | undefined,
  query: ParkedQuery | null,
): Promise<readonly OfRelay[]> {
  const { entries, complete } = await read.ofRelay(wanted === undefined ? { filter: query ?? {} } : { ids: wanted })
  if (complete) return entries
  throw problem(
    'bad-parameter',
    'More than 20,000 entries are parked. Narrow the filter with since and until. Nothing was sent.',
    { parameter: 'filter' },
  )
}

/** The answer if relays accept no commands, because there is no queue for them. */
const noCommands = () =>
  problem(
    'unavailable',
    'The relay parked some of these entries, and accepts no commands without SQS: run enigma-relay parked --retry or --drop on its host. Nothing was sent.',
  )

/** Checks that relays accept commands about these entries. @throws the answer 503 if they do not */
export function requireCommands(sendCommand: OperateOptions['sendCommand'], entries: readonly OfRelay[]): void {
  if (entries.length > 0 && sendCommand === undefined) throw noCommands()
}

/** Sends commands about these entries, oldest first: one per source and thousand entries. @throws the answer 503 if SQS rejects one */
export async function askRelay(
  sendCommand: OperateOptions['sendCommand'],
  action: RelayCommand['action'],
  entries: readonly OfRelay[],
  { name: operator }: Caller,
): Promise<void> {
  requireCommands(sendCommand, entries)
  for (const [source, own] of Map.groupBy(entries, (entry) => entry.source)) {
    const ownIds = own.map(({ id }) => id)
    try {
      for (let from = 0; from < ownIds.length; from += MAX_COMMAND_IDS)
        await sendCommand?.({ action, source, ids: ownIds.slice(from, from + MAX_COMMAND_IDS), operator })
    } catch {
      throw problem(
        'unavailable',
        'SQS did not accept commands for the relay. The queue for commands may be missing: deploy the stack. Some commands may have been sent; it is safe to try again.',
      )
    }
  }
}
