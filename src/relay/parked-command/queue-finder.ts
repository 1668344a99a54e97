import type { SQSClient } from '@aws-sdk/client-sqs'
import { queueName, type Route } from '../../protocol/index.ts'
import type { Logger } from '../../runtime/index.ts'
import { findQueue, sqsAdvice, type Queue } from '../targets/sqs/queue.ts'

/** Looks for a queue so often before it says that it cannot be found. */
const LOOKS = 3

/** A relay tries for ever, and its advice says so; who asks by hand wants to know now. */
const forNow = (advice: string) => advice.replace('; the relay keeps everything and retries', '')

export type QueueFinderOptions = {
  readonly sqs: SQSClient
  readonly prefix: string
  readonly log: Logger
  readonly signal: AbortSignal
}

/** The queues of the routes. One that cannot be used is not asked for again: what is to go there stays where it is. */
export function createQueueFinder({ sqs, prefix, log, signal }: QueueFinderOptions) {
  const found = new Map<Route, Queue | string>()

  const look = async (route: Route): Promise<Queue | string> => {
    let failures = 0
    let problem = 'stopped'
    const enough = new AbortController()
    const queue = await findQueue(sqs, route, prefix, log, AbortSignal.any([signal, enough.signal]), {
      outages: {
        begin: (_route, { text }) => {
          problem = text
        },
        end: () => undefined,
      },
      onFailure: () => {
        if (++failures === LOOKS) enough.abort()
      },
    })
    return queue ?? forNow(problem)
  }

  return {
    name: (route: Route): string => queueName(prefix, route),
    /** A route's queue, or why it cannot be used. */
    async find(route: Route): Promise<Queue | string> {
      const known = found.get(route) ?? (await look(route))
      if (!signal.aborted) found.set(route, known)
      return known
    },
    /** From now on this route cannot be used. */
    note(route: Route, problem: string): void {
      found.set(route, problem)
    },
    advise: (error: unknown, route: Route): string => forNow(sqsAdvice(error, queueName(prefix, route), prefix).text),
  }
}

export type QueueFinder = ReturnType<typeof createQueueFinder>
