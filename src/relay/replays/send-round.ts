import type { Replay, Routes } from '../../protocol/index.ts'
import { backoffMs, createChangeDetector, sleep, type Logger } from '../../runtime/index.ts'
import { describe } from '../relay-error.ts'
import type { RelayConfig } from '../config.ts'
import { authorize, CONTENT_TYPE } from '../targets/http/http-target.ts'
import { explainTarget, readUnfinished } from '../targets/http/http-verdict.ts'
import type { HttpHandler } from '../targets/http-handler.ts'
import { targetAddressOf } from '../targets/target.ts'

/** A message of a replay: a CloudEvent as text, with the unchanged bytes of the packet. */
export type AgainMessage = { readonly route: string; readonly event: string }

export type AgainDelivery = {
  /** 1 + how often a response of the server said `retry`: `ce-attempt`. */
  readonly attempt: number
  /** Whether an earlier try may have reached the server: `ce-redelivery`. */
  readonly isRedelivery: boolean
  /** `ce-replay` and `ce-parked`. */
  readonly replay: Replay
}

/** `refused`: the server will never accept it, because it answered 413 or 422, or the route has no target. The reason is masked. */
export type AgainOutcome =
  | { readonly outcome: 'done' | 'parked' }
  | { readonly outcome: 'retry'; readonly afterMs: number }
  | { readonly outcome: 'refused'; readonly reason: string }

/**
 * Sends one message to the target of its route, and resolves with the outcome. @throws an error for every outage: no connection, a timeout, a status
 * that says nothing about the message. The caller retries with the same attempt
 */
export type SendAgain = (message: AgainMessage, delivery: AgainDelivery, signal: AbortSignal) => Promise<AgainOutcome>

/** A round of a replay, as the API provides it. */
export type Round = {
  readonly job: string
  /** Whether the round was handed out before: some of its messages may have been sent. */
  readonly again: boolean
  readonly messages: readonly (AgainMessage & { readonly entry: string; readonly lane: string })[]
}

/** An entry that need not be sent again. The reason is set when no server will ever accept it. */
export type Settled = { readonly entry: string; readonly reason?: string }

type RoundTools = {
  readonly send: SendAgain
  readonly log: Logger
  /** Called for each message that is settled. */
  readonly onSettled: (settled: Settled) => void
  /** The longest wait (ms) after an outage. */
  readonly maxBackoffMs: number
}

/** The maximum number of lanes that are sent at once. */
const MAX_LANES = 8

/** The longest reason (characters) that the API accepts. */
const MAX_REASON_CHARS = 500

/**
 * Sends the messages of a round: each lane in order, several lanes at once. A message that its server asks for again later delays only its own lane,
 * as behind SQS. Resolves when all messages are settled, or the signal aborts.
 */
export async function sendRound(
  { job, again, messages }: Round,
  tools: RoundTools,
  signal: AbortSignal,
): Promise<void> {
  const { send, log, onSettled, maxBackoffMs } = tools
  const change = createChangeDetector()

  const sendOne = async ({ entry, route, event }: Round['messages'][number]): Promise<void> => {
    let isRedelivery = again
    for (let attempt = 1, failures = 0; !signal.aborted;) {
      try {
        const found = await send({ route, event }, { attempt, isRedelivery, replay: { job, entry } }, signal)
        if (failures > 0 && change(undefined) === 'over')
          log.info(
            { code: 'relay.replays.target_available', job, route },
            'The target accepts messages of the replay again',
          )
        failures = 0
        if (found.outcome === 'retry') {
          attempt++
          await sleep(found.afterMs, signal)
        } else if (found.outcome === 'refused')
          return onSettled({ entry, reason: found.reason.slice(0, MAX_REASON_CHARS) })
        else return onSettled({ entry })
      } catch (error) {
        if (signal.aborted) return
        isRedelivery = true
        failures++
        if (change(`${route} ${describe(error)}`) === 'new')
          log.warn(
            { code: 'relay.replays.target_unavailable', job, route, error: describe(error) },
            'The target does not accept a message of a replay; the relay retries',
          )
        await sleep(backoffMs(failures, { baseMs: 500, maxMs: maxBackoffMs }), signal)
      }
    }
  }

  const lanes = [...Map.groupBy(messages, ({ route, lane }) => `${route} ${lane}`).values()].values()
  const work = async () => {
    for (const lane of lanes) for (const message of lane) await sendOne(message)
  }
  await Promise.all(Array.from({ length: MAX_LANES }, work))
}

/** The wait (ms) when a server names none: the same as after the first attempt behind a queue. */
const AFTER_MS = 1_000

/** How long (ms) a response may take beyond the time limit of the route's function. */
const MARGIN_MS = 10_000

/** Creates the sender of replays: it sends messages to the HTTP targets of their routes, one per request, in the same form as notifications. */
export function createSendAgain({
  config,
  routes,
  http,
}: {
  readonly config: RelayConfig
  readonly routes: Routes
  readonly http: Pick<HttpHandler, 'send'>
}): SendAgain {
  return async ({ route: name, event }, { attempt, isRedelivery, replay }, signal) => {
    const route = routes.all.find((one) => one.name === name)
    if (route === undefined) return { outcome: 'refused', reason: `the route table of the relay has no route ${name}` }
    const { url, variable } = targetAddressOf(config, route)
    if (url === 'sqs')
      return { outcome: 'refused', reason: `${variable} sends this route to SQS, not to an HTTP server` }
    const { id } = JSON.parse(event) as { readonly id: string }
    const body = Buffer.from(`[${event}]`)
    const headers = {
      'content-type': CONTENT_TYPE,
      'ce-route': name,
      'ce-attempt': String(attempt),
      'ce-replay': replay.job,
      'ce-parked': replay.entry,
      ...(isRedelivery ? { 'ce-redelivery': 'true' } : {}),
      ...authorize(config.targets.access, { id: `${replay.job} ${id}`, timeMs: Date.now(), body }),
    }
    const request = { path: url.pathname + url.search, method: 'POST', headers, body }
    const limits = { signal, limitMs: route.timeoutSeconds * 1_000 + MARGIN_MS }
    try {
      const waits = readUnfinished(await http.send(url.origin, request, limits), [id])
      return waits.has(0) ? { outcome: 'retry', afterMs: waits.get(0) ?? AFTER_MS } : { outcome: 'done' }
    } catch (error) {
      const { verdict, reason } = explainTarget(error, { url, variable })
      if (verdict === 'refused') return { outcome: 'refused', reason: `the target answered ${reason}` }
      throw error
    }
  }
}
