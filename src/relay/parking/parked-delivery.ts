import { isTooLarge, type Route } from '../../protocol/index.ts'
import { createLog, sleep } from '../../runtime/index.ts'
import { describe } from '../errors.ts'
import { toItem, type Acknowledger, type Item, type Stamped } from '../item.ts'
import { createMetrics, type Metrics } from '../metrics.ts'
import type { Outages } from '../sender/failures.ts'
import { createSender, type Sender } from '../sender/sender.ts'
import { createUplink } from '../sender/pacing.ts'
import type { BatchClient } from '../targets/sqs/sqs-client.ts'
import { createSqsTarget } from '../targets/sqs/sqs-target.ts'

/** What became of a notification: SQS accepted it for this queue, or why not. */
export type Answer =
  { readonly state: 'sent'; readonly queue: string } | { readonly state: 'stays'; readonly why: string }

type DeliveryOptions = {
  readonly batches: BatchClient
  readonly queuePrefix: string
  /** Sends nothing more once it aborts. Default: never. */
  readonly signal?: AbortSignal
  /** How long (ms) SQS may fail before the route is given up; requests in flight then have as long again. Default 5,000. */
  readonly giveUpMs?: number
  /** Where its figures go, which nobody reads. Default: new ones, which a process that lives for long must not make each time. */
  readonly metrics?: Metrics
}

/** `error`: what SQS fails with now. `problem`: why nothing more is sent on this route. */
type Line = { readonly sender: Sender; readonly queue: string; error?: unknown; problem?: string }

/** How often (ms) a line is asked whether it fails. */
const LOOK_MS = 100

const NEVER = new AbortController().signal

const now = () => performance.now()

/**
 * Sends through the relay's senders, for a command: a relay retries for ever, a user wants an answer now. A route on which SQS fails for
 * too long is given up: nothing more is sent on it, so that nothing overtakes what SQS did not accept.
 */
export function createDelivery(options: DeliveryOptions) {
  const { batches, queuePrefix, signal = NEVER, giveUpMs = 5_000, metrics = createMetrics() } = options
  const lines = new Map<string, Line>()
  // What goes wrong is in the answers.
  const [log, uplink] = [createLog('silent'), createUplink()]
  const shared = { now, log, metrics, uplink, onRoom: () => undefined }

  const lineOf = (route: Route): Line => {
    const known = lines.get(route.name)
    if (known !== undefined) return known
    // Each in a pack of its own: a copy has the same deduplication id, and what SQS rejected before is in no other pack.
    const alone = { ...route, packNotifications: 1, lingerMs: 0 }
    const outages: Outages = {
      begin: (_route, _problem, { error }) => void Object.assign(line, { error }),
      end: () => void Object.assign(line, { error: undefined }),
    }
    const target = createSqsTarget({ ...shared, route, queuePrefix, batches, outages })
    const line: Line = { sender: createSender({ ...shared, route: alone, target, outages }), queue: target.name }
    lines.set(route.name, line)
    return line
  }

  /** Resolves when it is done; otherwise when the signal has aborted or the route is given up, and nothing is in flight any more. */
  const waitFor = async (done: Promise<unknown>, line: Line): Promise<void> => {
    const { sender } = line
    const isDone = done.then(() => true)
    while (!signal.aborted && now() - (sender.standing.failingSince ?? now()) < giveUpMs)
      if ((await Promise.race([isDone, sleep(LOOK_MS, signal)])) === true) return
    const { error } = line
    // What the advice says of the relay is not true of a command.
    const problem = (sender.standing.problem ?? '').replace('; the relay keeps everything and retries', '')
    await sender.stop(giveUpMs)
    if (!signal.aborted) line.problem = error === undefined ? problem : `${problem} (${describe(error)})`
  }

  type Some = readonly (readonly [number, Stamped])[]
  const deliverOn = async (route: Route, some: Some, answers: (Answer | undefined)[]) => {
    const line = lineOf(route)
    const done = Promise.withResolvers<void>()
    let left = some.length
    const answer = ({ position }: Item, what: Answer) => {
      answers[position] ??= what
      if (--left === 0) done.resolve()
    }
    const acknowledger: Acknowledger = {
      settle: (item) => answer(item, { state: 'sent', queue: line.queue }),
      park: async (item, _reason, detail) =>
        answer(item, { state: 'stays', why: isTooLarge(detail) ? detail : `SQS rejected it again: ${detail}` }),
    }
    if (line.problem === undefined) {
      for (const [at, stamped] of some) line.sender.push(toItem(stamped, acknowledger, at))
      await waitFor(done.promise, line)
    }
    if (line.problem !== undefined) for (const [at] of some) answers[at] ??= { state: 'stays', why: line.problem }
  }

  return {
    /** Why a route was given up, the first of them: its entries can be sent later. Undefined when none was. */
    get problem(): string | undefined {
      return [...lines.values()].find(({ problem }) => problem !== undefined)?.problem
    },
    /** Resolves with why the queue of a route cannot be used; undefined when it can. */
    async check(route: Route): Promise<string | undefined> {
      const line = lineOf(route)
      if (line.problem === undefined) await waitFor(line.sender.find(), line)
      return line.problem
    },
    /** Sends them, in their order in each lane; resolves with an answer for each, undefined where the signal aborted before SQS answered. */
    async deliver(all: readonly Stamped[]): Promise<(Answer | undefined)[]> {
      const answers = all.map((): Answer | undefined => undefined)
      const ofRoutes = Map.groupBy(all.entries(), ([, { route }]) => route)
      await Promise.all([...ofRoutes].map(([route, some]) => deliverOn(route, some, answers)))
      return answers
    },
  }
}

export type Delivery = ReturnType<typeof createDelivery>
