import {
  OUTCOMES_TYPE,
  PARKED_HEADER,
  parseEvents,
  ProtocolError,
  REPLAY_HEADER,
  toText,
  type HttpOutcome,
  type Notification,
} from '../protocol/index.ts'
import { problemResponse, type Log } from './adapter-error.ts'
import { createBudget, pauseSeconds, type Run } from './attempt.ts'
import type { HandleBatch } from './batch.ts'
import { nameRoute, toGroup, type FindHosted, type Hosted } from './hosted-apps.ts'
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
