import {
  DEFAULT_LIMITS,
  laneOf,
  OTHER,
  OUTCOMES_TYPE,
  PARKED_HEADER,
  parseEvents,
  parseEventType,
  ProtocolError,
  REPLAY_HEADER,
  toText,
  type HttpOutcome,
  type Limits,
  type Notification,
  type Route,
} from '../protocol/index.ts'
import { AdapterError, problemResponse, type Log } from './adapter-error.ts'
import { createBudget, keepErrorsQuiet, pauseSeconds, type Run } from './attempt.ts'
import type { HandleBatch } from './batch.ts'
import type { App } from './event.ts'
import { isFinished, toEntry, toKey, toReferenceKey, type Delivered, type Message } from './message.ts'

type HttpBatchOptions<Effect> = {
  readonly find: FindHosted
  readonly handleBatch: HandleBatch<Effect>
  /** How long (ms) the request may take. */
  readonly limitMs: number
  /** Longest time (ms) for one notification, where its route names none. */
  readonly timeoutMs: number | undefined
  readonly check: ((effect: unknown) => void) | undefined
  readonly now: () => number
  readonly log: Log
}

/** What the headers of a request say about all notifications in it. */
type Delivery = {
  readonly route: string | null
  readonly attempt: number
  readonly isRedelivery: boolean
  readonly replay: Delivered['replay']
}

/** Longest pause (s) of a notification that a replay sends: its cause is taken to be mended, and others of the replay wait for it. */
const LONGEST_REPLAY_SECONDS = 30

/**
 * Answers a CloudEvents batch with an outcome for each event (docs/functions.md#behind-http). What is not a batch, or has no function here, is
 * refused whole, so that the relay keeps it.
 */
export function createHttpBatches<Effect>(options: HttpBatchOptions<Effect>) {
  const { find, handleBatch, limitMs, timeoutMs, now } = options
  return async (request: Request, env: object | undefined): Promise<Response> => {
    const endMs = performance.now() + limitMs
    const context = { getRemainingTimeInMillis: () => endMs - performance.now() }
    let notifications: readonly Notification[]
    try {
      notifications = parseBatch(new Uint8Array(await request.arrayBuffer()))
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      return problemResponse(400, 'Not a CloudEvents batch', `${error.message}. ${EXPECTED}`)
    }
    const delivery = readDelivery(request.headers)
    if (delivery.replay !== undefined && notifications.length > 1)
      return problemResponse(400, 'Not a replay', `A request with ${REPLAY_HEADER} must have exactly one event.`)
    const hosts = new Map<string, Hosted>()
    const messages = new Map<string, Message<Effect>>()
    const ids: { readonly id: string; readonly key: string }[] = []
    for (const notification of notifications) {
      const hosted = find(delivery.route, notification.type)
      if (hosted === undefined)
        return problemResponse(
          404,
          'No function takes this type',
          `This server has no function for the type ${notification.type}, and none for all other types: pass functions/other.ts to fromHttp as well.`,
        )
      const key = await toKey(notification)
      ids.push({ id: notification.id, key })
      // A copy in the same request shares the outcome of the first.
      if (messages.has(key)) continue
      const message = toMessage<Effect>(notification, key, delivery, hosted)
      messages.set(key, message)
      hosts.set(message.route, hosted)
    }
    const budgetOf = (seconds?: number) => createBudget(context, seconds === undefined ? timeoutMs : seconds * 1_000)
    const runs = new Map(
      [...hosts].map(([route, { app, limits }]): [string, Run] => [
        route,
        { ...options, app, env, budget: budgetOf(limits.handlerSeconds), maxAgeMs: limits.maxAgeMs, now },
      ]),
    )
    const all = [...messages.values()]
    const counts = await handleBatch(all, budgetOf(), (route) => runs.get(route) as Run)
    const outcomes = ids.map(({ id, key }): HttpOutcome => {
      const message = messages.get(key) as Message<Effect>
      if (counts && isFinished(message))
        return { id, outcome: message.entries.some(({ parked }) => parked !== undefined) ? 'parked' : 'done' }
      const { retrySeconds, outageSeconds } = (hosts.get(message.route) as Hosted).limits
      const longest = counts ? retrySeconds : outageSeconds
      const most = delivery.replay === undefined ? longest : Math.min(longest, LONGEST_REPLAY_SECONDS)
      return { id, outcome: 'retry', after: pauseSeconds(delivery.attempt, most) }
    })
    return new Response(JSON.stringify({ outcomes }), { headers: { 'content-type': OUTCOMES_TYPE } })
  }
}

const EXPECTED =
  'Send a JSON array of CloudEvents 1.0 as application/cloudevents-batch+json, in UTF-8 and not compressed. The response to [] contains no outcomes.'

/** @throws ProtocolError `protocol.event.invalid` */
function parseBatch(body: Uint8Array): readonly Notification[] {
  const text = toText(body)
  if (text === undefined) throw new ProtocolError('protocol.event.invalid', 'the body is not UTF-8 text')
  // Of a single event the answer would be read wrongly by whoever sent it.
  if (!/^\s*\[/.test(text)) throw new ProtocolError('protocol.event.invalid', 'the body is not a JSON array')
  return parseEvents(text)
}

function readDelivery(headers: Headers): Delivery {
  const [attempt, job, entry] = [
    Number(headers.get('ce-attempt')),
    headers.get(REPLAY_HEADER),
    headers.get(PARKED_HEADER),
  ]
  return {
    route: headers.get('ce-route'),
    attempt: Number.isSafeInteger(attempt) && attempt > 0 ? attempt : 1,
    isRedelivery: headers.get('ce-redelivery') === 'true',
    replay: job === null || entry === null ? undefined : { job, entry },
  }
}

/** A message of one notification, so that each has an outcome of its own. */
function toMessage<Effect>(
  notification: Notification,
  key: string,
  { route, attempt, isRedelivery, replay }: Delivery,
  hosted: Hosted,
): Message<Effect> {
  // Another id for each replay: what was parked and handled before may fail again.
  const messageId = replay === undefined ? key : `${replay.job}/${replay.entry}`
  const { type, data } = notification
  const own: Delivered = {
    messageId,
    memory: replay === undefined ? toMemory(key) : messageId,
    route: nameRoute(hosted, route, type),
    attempt,
    lastAttempt: attempt >= hosted.limits.attempts,
    isAgain: attempt > 1 || isRedelivery,
    ...(replay === undefined ? {} : { replay }),
  }
  const entry = toEntry<Effect>(notification, key, own)
  const messageGroupId = toGroup(toReferenceKey(entry), hosted.limits)
  const message = { ...own, messageGroupId }
  return { ...message, entries: [{ ...entry, messageGroupId }], body: typeof data === 'string' ? data : '' }
}

/** Neighbours of a source that are remembered by one name: a command for some hundred of them, instead of one for each. */
const NEIGHBOURS = 1_000

/** `main/p/1769846400000/17` is remembered among the first thousand of its epoch. */
function toMemory(key: string): string {
  const [, before, index] = /^(.+)\/(\d{1,15})$/.exec(key) ?? []
  return before === undefined ? key : `${before}/${Math.floor(Number(index) / NEIGHBOURS)}k`
}

/** What is asked of a route here; a whole one fits. */
type HttpRoute = Pick<Route, 'name' | 'type' | 'subType'> & Partial<HttpLimits>

/** Limits of a route that count behind HTTP, too. */
export type HttpLimits = Pick<
  Limits,
  'attempts' | 'retrySeconds' | 'outageSeconds' | 'maxAgeMs' | 'handlerSeconds' | 'lanes'
>

/**
 * A function, as a file of `functions/` exports it. One without a route takes everything that has no function of its own.
 *
 * @example
 * import * as call from './functions/agents/call.ts'
 * import * as other from './functions/other.ts'
 * const fetch = fromHttp([call, other], options)
 */
export type HttpFunction = { readonly app: App; readonly route?: HttpRoute }

/** A function behind an address, with its limits. */
export type Hosted = { readonly app: App; readonly name: string | undefined; readonly limits: HttpLimits }

/** Finds the function of a notification: by its route's name, else by its type, else the one for everything else. Undefined: none takes it. */
export type FindHosted = (routeName: string | null, type: string) => Hosted | undefined

/** The app alone, which takes everything. */
export function hostApp(app: App, route: string | undefined, limits: Partial<HttpLimits>): FindHosted {
  keepErrorsQuiet(app)
  const hosted = { app, name: route, limits: { ...DEFAULT_LIMITS, ...limits } }
  return () => hosted
}

/** @throws AdapterError `adapter.functions.invalid` when two functions would take the same notifications, or one has no app */
export function hostFunctions(functions: readonly HttpFunction[]): FindHosted {
  const [byName, byType] = [new Map<string, Hosted>(), new Map<string, Hosted>()]
  for (const { app, route = OTHER } of functions) {
    if (typeof app?.fetch !== 'function')
      throw invalid(`the function ${route.name} has no app: export one from its file, as functions/agents/call.ts does`)
    keepErrorsQuiet(app)
    const hosted = { app, name: route.name, limits: { ...DEFAULT_LIMITS, ...route } }
    const type = `${route.type}/${route.subType}`
    if (byName.has(route.name) || byType.has(type))
      throw invalid(`two functions have the route ${route.name}: pass each file of functions/ once`)
    byName.set(route.name, hosted)
    byType.set(type, hosted)
  }
  return (name, type) => {
    const { type: of, subType } = parseEventType(type) ?? { type: '', subType: '' }
    return byName.get(name ?? '') ?? byType.get(`${of}/${subType}`) ?? byName.get(OTHER.name)
  }
}

const invalid = (message: string) => new AdapterError('adapter.functions.invalid', message)

/** Of what a route may be called, a name that a header carries may be nothing else. */
const NAME = /^[A-Za-z0-9_-]{1,64}$/

/** The name of a notification's route, by which it is found when it is parked: its function's, else the request's, else its type's. */
export function nameRoute({ name }: Hosted, header: string | null, type: string): string {
  if (name !== undefined) return name
  if (header !== null && NAME.test(header)) return header
  const parsed = parseEventType(type)
  const own = parsed === undefined ? '' : `${parsed.type}-${parsed.subType}`
  return NAME.test(own) ? own : OTHER.name
}

/** The lane that the relay would have put it in, and so the message group that it would have in a queue. */
export const toGroup = (orderKey: string, { lanes }: HttpLimits): string => String(laneOf(orderKey, lanes))
