import { deadLetterQueueName, type Route, type Routes } from '../../protocol/index.ts'
import { logApi, type DeadLetters, type DeadLettersPeek, type LogApi } from '../../api/index.ts'
import type { Sqs } from '../wiring.ts'
import { peekQueue, type QueuePeek } from './peek-queue.ts'
import { describeSqsError } from './sqs-errors.ts'

export type DeadLettersOptions = {
  /** Of the queues' names: `enigma-`. */
  readonly prefix: string
  readonly routes: Routes
  /** The SDK, loaded at the first look. */
  readonly connect: () => Promise<Sqs>
  /** How long (ms) what was seen is shown again instead of looking anew. Default 5,000. */
  readonly keepMs?: number
  /** Longest time (ms) for a look. Default 8,000. */
  readonly limitMs?: number
  readonly now?: () => number
  readonly log?: LogApi
}

/** Queues that are looked at at once. */
const AT_ONCE = 4

/** The dead-letter queues as `GET /parked` shows them. Requests that come at the same time, or soon after, share one look. */
export function createDeadLetters({
  prefix,
  routes,
  connect,
  keepMs = 5_000,
  limitMs = 8_000,
  now = Date.now,
  log = logApi,
}: DeadLettersOptions): DeadLetters {
  const urls = new Map<string, string>()
  let kept: { readonly peek: Promise<DeadLettersPeek>; readonly untilMs: number } | undefined

  const look = async ({ sdk, client }: Sqs, route: Route, signal: AbortSignal): Promise<QueuePeek> => {
    const name = deadLetterQueueName(prefix, route)
    const url =
      urls.get(name) ??
      (await client.send(new sdk.GetQueueUrlCommand({ QueueName: name }), { abortSignal: signal })).QueueUrl ??
      ''
    urls.set(name, url)
    return peekQueue({ sqs: { sdk, client }, url, route, signal })
  }

  const lookAtAll = async (): Promise<DeadLettersPeek> => {
    const signal = AbortSignal.timeout(limitMs)
    const seen: QueuePeek[] = []
    const faults: string[] = []
    const left = [...routes.all]
    const worker = async () => {
      for (let route = left.shift(); route !== undefined; route = left.shift()) {
        try {
          seen.push(await look(await connect(), route, signal))
        } catch (error) {
          faults.push(`${deadLetterQueueName(prefix, route)}: ${describeSqsError(error)}`)
        }
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    const items = seen.flatMap((queue) => queue.items)
    if (faults.length > 0)
      log({
        level: 'error',
        code: 'functions.dead_letters.unreadable',
        message: 'some dead-letter queues cannot be read, so GET /parked is incomplete',
        queues: faults.length,
        error: faults[0],
      })
    return { items, part: toPart(seen, items.length, faults, routes.all.length) }
  }

  return {
    peek: () => {
      if (kept === undefined || now() >= kept.untilMs) {
        const peek = lookAtAll().finally(() => {
          kept = { peek, untilMs: now() + keepMs }
        })
        kept = { peek, untilMs: Number.POSITIVE_INFINITY }
      }
      return kept.peek
    },
  }
}

function toPart(
  seen: readonly QueuePeek[],
  shown: number,
  faults: readonly string[],
  queues: number,
): DeadLettersPeek['part'] {
  if (seen.length === 0) return { status: 'unavailable', detail: faults[0] ?? null, total: null }
  const total = seen.reduce((sum, queue) => sum + queue.total, 0)
  if (faults.length > 0)
    return {
      status: 'incomplete',
      detail: `${faults.length} of ${queues} queues cannot be read. ${faults[0]}`,
      total: null,
    }
  if (shown < total) return { status: 'incomplete', detail: `${shown} of about ${total} messages could be read`, total }
  return { status: 'read', detail: null, total }
}
