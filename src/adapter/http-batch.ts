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
import { isFinished, toEntry, toNotificationKey, toOrderKey, type Delivered, type Message } from './message.ts'

type HttpBatchOptions<Effect> = {
  readonly find: FindHosted
  readonly handleBatch: HandleBatch<Effect>
  /** The time limit of a request (ms). */
  readonly limitMs: number
  /** The time limit of a notification (ms), if its route has none. */
  readonly timeoutMs: number | undefined
  readonly check: ((effect: unknown) => void) | undefined
  readonly now: () => number
  readonly log: Log
}

/** The headers of a request that apply to all notifications in it. */
type RequestDelivery = {
  readonly route: string | null
  readonly attempt: number
  readonly isRedelivery: boolean
  readonly replay: Delivered['replay']
}

/** The longest pause (s) of a replayed notification. The operator has presumably removed the cause, and others of the replay wait for it. */
const MAX_REPLAY_PAUSE_SECONDS = 30

/**
 * Returns a handler for CloudEvents batches that answers with an outcome for each event (docs/functions.md#behind-http). It rejects a request
 * that is not a batch or contains an event without a function, so that the relay keeps all its notifications.
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
      const key = await toNotificationKey(notification)
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
    const isCommitted = await handleBatch(all, budgetOf(), (route) => runs.get(route) as Run)
    const outcomes = ids.map(({ id, key }): HttpOutcome => {
      const message = messages.get(key) as Message<Effect>
      if (isCommitted && isFinished(message))
        return { id, outcome: message.entries.some(({ parked }) => parked !== undefined) ? 'parked' : 'done' }
      const { retrySeconds, outageSeconds } = (hosts.get(message.route) as Hosted).limits
      const longest = isCommitted ? retrySeconds : outageSeconds
      const maxSeconds = delivery.replay === undefined ? longest : Math.min(longest, MAX_REPLAY_PAUSE_SECONDS)
      return { id, outcome: 'retry', after: pauseSeconds(delivery.attempt, maxSeconds) }
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
  // The sender of a single event would misread a list of outcomes.
  if (!/^\s*\[/.test(text)) throw new ProtocolError('protocol.event.invalid', 'the body is not a JSON array')
  return parseEvents(text)
}

function readDelivery(headers: Headers): RequestDelivery {
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

/** Makes a message of a single notification, so that each has its own outcome. */
function toMessage<Effect>(
  notification: Notification,
  key: string,
  { route, attempt, isRedelivery, replay }: RequestDelivery,
  hosted: Hosted,
): Message<Effect> {
  // A new id for each replay, because the notification was finished before, and may fail again.
  const messageId = replay === undefined ? key : `${replay.job}/${replay.entry}`
  const { type, data } = notification
  const own: Delivered = {
    messageId,
    memory: replay === undefined ? toMemory(key) : messageId,
    route: nameRoute(hosted, route, type),
    attempt,
    lastAttempt: attempt >= hosted.limits.attempts,
    isRedelivery: attempt > 1 || isRedelivery,
    ...(replay === undefined ? {} : { replay }),
  }
  const entry = toEntry<Effect>(notification, key, own)
  const messageGroupId = toMessageGroup(toOrderKey(entry), hosted.limits)
  const message = { ...own, messageGroupId }
  return { ...message, entries: [{ ...entry, messageGroupId }], body: typeof data === 'string' ? data : '' }
}

/** How many neighbouring notifications of a source are remembered under one name: one command for about a hundred of them, instead of one for each. */
const NEIGHBOURS = 1_000

/** Returns the name under which a finished notification is remembered: `main/p/1769846400000/17` is among the first thousand of its epoch. */
function toMemory(key: string): string {
  const [, before, index] = /^(.+)\/(\d{1,15})$/.exec(key) ?? []
  return before === undefined ? key : `${before}/${Math.floor(Number(index) / NEIGHBOURS)}k`
}

/** The part of a route that is used here. A whole route is assignable. */
type HttpRoute = Pick<Route, 'name' | 'type' | 'subType'> & Partial<HttpLimits>

/** The limits of a route that also apply behind HTTP. */
type HttpLimits = Pick<Limits, 'attempts' | 'retrySeconds' | 'outageSeconds' | 'maxAgeMs' | 'handlerSeconds' | 'lanes'>

/**
 * A function, as a file of `functions/` exports it. A function without a route receives all notifications without a function of their own.
 *
 * @example
 * import * as call from './functions/agents/call.ts'
 * import * as other from './functions/other.ts'
 * const fetch = fromHttp([call, other], options)
 */
export type HttpFunction = { readonly app: App; readonly route?: HttpRoute }

/** A function that is served at an address, with its limits. */
type Hosted = { readonly app: App; readonly name: string | undefined; readonly limits: HttpLimits }

/** Finds the function of a notification: by the name of the route, else by its type, else the function `other`. Undefined if there is none. */
export type FindHosted = (routeName: string | null, type: string) => Hosted | undefined

/** Returns a lookup for a single app, which receives every notification. */
export function hostApp(app: App, route: string | undefined, limits: Partial<HttpLimits>): FindHosted {
  keepErrorsQuiet(app)
  const hosted = { app, name: route, limits: { ...DEFAULT_LIMITS, ...limits } }
  return () => hosted
}

/** Returns a lookup for several functions. @throws AdapterError `adapter.functions.invalid` if two have the same route, or one has no app */
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

/** Valid names of routes. A header may contain anything. */
const NAME = /^[A-Za-z0-9_-]{1,64}$/

/** Returns the name of the route under which a notification is parked: from its function, else from the request, else from its type. */
function nameRoute({ name }: Hosted, header: string | null, type: string): string {
  if (name !== undefined) return name
  if (header !== null && NAME.test(header)) return header
  const parsed = parseEventType(type)
  const own = parsed === undefined ? '' : `${parsed.type}-${parsed.subType}`
  return NAME.test(own) ? own : OTHER.name
}

/** Returns the lane that the relay would choose, which is the message group in a queue. */
const toMessageGroup = (orderKey: string, { lanes }: HttpLimits): string => String(laneOf(orderKey, lanes))
