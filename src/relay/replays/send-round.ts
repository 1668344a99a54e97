import type { Replay } from '../../protocol/index.ts'
import { backoffMs, createNews, sleep, type Logger } from '../../runtime/index.ts'
import { describe } from '../errors.ts'

/** A message of a replay: a CloudEvent as text, with the bytes of the packet as they were. */
export type AgainMessage = { readonly route: string; readonly event: string }

export type AgainDelivery = {
  /** 1 + how often a server's answer said `retry`: `ce-attempt`. */
  readonly attempt: number
  /** An earlier try may have reached the server: `ce-redelivery`. */
  readonly isRedelivery: boolean
  /** `ce-replay` and `ce-parked`. */
  readonly replay: Replay
}

/** `refused`: the server will never take it, since it answered 413 or 422, or the route has no target. The reason is masked. */
export type AgainOutcome =
  | { readonly outcome: 'done' | 'parked' }
  | { readonly outcome: 'retry'; readonly afterMs: number }
  | { readonly outcome: 'refused'; readonly reason: string }

/**
 * Sends one message to the target of its route, and resolves with what its server answered.
 *
 * @throws whatever is an outage: no connection, a timeout, a status that says nothing of the message. It is tried again, with the same attempt
 */
export type SendAgain = (message: AgainMessage, delivery: AgainDelivery, signal: AbortSignal) => Promise<AgainOutcome>

/** A round of a replay, as the API gives it. */
export type Round = {
  readonly job: string
  /** It was given before: messages of it may have been sent. */
  readonly again: boolean
  readonly messages: readonly (AgainMessage & { readonly entry: string; readonly lane: string })[]
}

/** An entry that need not be sent again; with a reason, because no server will ever take it. */
export type Settled = { readonly entry: string; readonly reason?: string }

type RoundTools = {
  readonly send: SendAgain
  readonly log: Logger
  /** Called for each message that is settled. */
  readonly onSettled: (settled: Settled) => void
  /** Longest wait (ms) after an outage. */
  readonly maxBackoffMs: number
}

/** Lanes that are sent at once. */
const LANES = 8

/** Longest reason (characters) that the API takes. */
const MOST_REASON = 500

/**
 * Sends the messages of a round: each lane in order, several at once. A message that its server wants later holds up its own lane alone, as behind a
 * queue. Resolves once all are settled, or the signal aborts.
 */
export async function sendRound(
  { job, again, messages }: Round,
  tools: RoundTools,
  signal: AbortSignal,
): Promise<void> {
  const { send, log, onSettled, maxBackoffMs } = tools
  const news = createNews()

  const sendOne = async ({ entry, route, event }: Round['messages'][number]): Promise<void> => {
    let isRedelivery = again
    for (let attempt = 1, failures = 0; !signal.aborted;) {
      try {
        const found = await send({ route, event }, { attempt, isRedelivery, replay: { job, entry } }, signal)
        if (failures > 0 && news(undefined) === 'over')
          log.info(
            { code: 'relay.replays.target_available', job, route },
            'The target accepts messages of the replay again',
          )
        failures = 0
        if (found.outcome === 'retry') {
          attempt++
          await sleep(found.afterMs, signal)
        } else if (found.outcome === 'refused') return onSettled({ entry, reason: found.reason.slice(0, MOST_REASON) })
        else return onSettled({ entry })
      } catch (error) {
        if (signal.aborted) return
        isRedelivery = true
        failures++
        if (news(`${route} ${describe(error)}`) === 'new')
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
  await Promise.all(Array.from({ length: LANES }, work))
}
