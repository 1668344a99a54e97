import type { SQSClient } from '@aws-sdk/client-sqs'
import { isTooLarge, queueName, type Route } from '../../protocol/index.ts'
import { createLog, sleep } from '../../runtime/index.ts'
import { describe } from '../errors.ts'
import type { Keeper } from '../item.ts'
import { createMetrics } from '../metrics.ts'
import { toItem, type Stamped } from '../notification/stamp.ts'
import { createSender, type Sender } from '../sender/sender.ts'
import { createUplink } from '../sender/uplink.ts'

/** What became of a notification: SQS accepted it for this queue, or why not; undefined when the signal aborted before SQS answered. */
export type Answer =
  { readonly accepted: true; readonly queue: string } | { readonly accepted: false; readonly why: string } | undefined

export type DeliveryOptions = {
  readonly sqs: SQSClient
  readonly queuePrefix: string
  /** Sends nothing more once it aborts. Default: never. */
  readonly signal?: AbortSignal
  /** How long (ms) SQS may fail before the route is given up; requests in flight then have as long again. Default 5,000. */
  readonly giveUpMs?: number
}

/** `problem`: why nothing more is sent on this route. */
type Line = { readonly sender: Sender; readonly queue: string; problem?: string }

/** How often (ms) a line is asked whether it fails. */
const LOOK_MS = 100

const NEVER = new AbortController().signal

const now = () => performance.now()

/**
 * Sends through the relay's senders, for a command: a relay retries for ever, a user wants an answer now. A route on which SQS fails for
 * too long is given up: nothing more is sent on it, so that nothing overtakes what SQS did not accept.
 */
export function createDelivery({ sqs, queuePrefix, signal = NEVER, giveUpMs = 5_000 }: DeliveryOptions) {
  const lines = new Map<string, Line>()
  const errors = new Map<string, unknown>()
  const shared = {
    sqs,
    queuePrefix,
    now,
    // What goes wrong is in the answers.
    log: createLog('silent'),
    metrics: createMetrics(),
    uplink: createUplink(),
    outages: {
      begin: (route: string, _problem: unknown, { error }: Record<string, unknown>) => void errors.set(route, error),
      end: (route: string) => void errors.delete(route),
    },
    onRoom: () => undefined,
  }

  const lineOf = (route: Route): Line => {
    const known = lines.get(route.name)
    if (known !== undefined) return known
    // Each in a pack of its own: a copy has the same deduplication id, and what SQS rejected before is in no other pack.
    const sender = createSender({ ...shared, route: { ...route, packNotifications: 1, lingerMs: 0 } })
    const line = { sender, queue: queueName(queuePrefix, route) }
    lines.set(route.name, line)
    return line
  }

  /** Resolves when it is done; otherwise when the signal has aborted or the route is given up, and nothing is in flight any more. */
  const waitFor = async (done: Promise<unknown>, line: Line, route: Route): Promise<void> => {
    const { sender } = line
    const isDone = done.then(() => true)
    while (!signal.aborted && now() - (sender.failingSince ?? now()) < giveUpMs)
      if ((await Promise.race([isDone, sleep(LOOK_MS, signal)])) === true) return
    const error = errors.get(route.name)
    // What the advice says of the relay is not true of a command.
    const problem = (sender.problem ?? '').replace('; the relay keeps everything and retries', '')
    await sender.stop(giveUpMs)
    if (!signal.aborted) line.problem = error === undefined ? problem : `${problem} (${describe(error)})`
  }

  const deliverOn = async (route: Route, some: readonly (readonly [number, Stamped])[], answers: Answer[]) => {
    const line = lineOf(route)
    const done = Promise.withResolvers<void>()
    let left = some.length
    const answer = (place: number, what: Answer) => {
      answers[place] ??= what
      if (--left === 0) done.resolve()
    }
    const keeper: Keeper = {
      settle: ({ place }) => answer(place, { accepted: true, queue: line.queue }),
      park: async ({ place }, _reason, detail) =>
        answer(place, { accepted: false, why: isTooLarge(detail) ? detail : `SQS rejected it again: ${detail}` }),
    }
    if (line.problem === undefined) {
      for (const [place, stamped] of some) line.sender.push(toItem(stamped, keeper, place))
      await waitFor(done.promise, line, route)
    }
    if (line.problem !== undefined)
      for (const [place] of some) answers[place] ??= { accepted: false, why: line.problem }
  }

  return {
    /** Resolves with why the queue of a route cannot be used; undefined when it can. */
    async check(route: Route): Promise<string | undefined> {
      const line = lineOf(route)
      if (line.problem === undefined) await waitFor(line.sender.find(), line, route)
      return line.problem
    },
    /** Sends them, in their order in each lane; resolves when there is an answer for each. */
    async deliver(all: readonly Stamped[]): Promise<Answer[]> {
      const answers: Answer[] = all.map(() => undefined)
      const ofRoutes = Map.groupBy(all.entries(), ([, { route }]) => route)
      await Promise.all([...ofRoutes].map(([route, some]) => deliverOn(route, some, answers)))
      return answers
    },
  }
}

export type Delivery = ReturnType<typeof createDelivery>
