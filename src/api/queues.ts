import { Hono } from 'hono'
import { Queues, type QueueRecord } from '../answers/index.ts'
import { describe } from './describe.ts'
import { problem } from './errors.ts'
import { query } from './query.ts'

/** Reads how many messages each queue holds. */
export type ReadQueues = () => Promise<readonly QueueRecord[]>

/** So long (ms) is an answer given again: each costs a request to SQS for every queue. */
const KEEP_MS = 10_000

const UNKNOWN = 'This API does not know its queues: set ENIGMA_QUEUE_PREFIX.'

/** `GET /queues` */
export function queues(read: ReadQueues | undefined, now: () => number): Hono {
  let kept: { readonly answer: Promise<Queues>; readonly untilMs: number } | undefined
  const ask = async (readQueues: ReadQueues): Promise<Queues> => {
    const items = await readQueues()
    return { items: [...items], read_at: new Date(now()).toISOString() }
  }
  return new Hono().get(
    '/',
    describe({
      summary: 'List queues',
      description:
        'Returns the approximate number of messages in each queue and dead-letter queue of the stack. The API asks SQS at most every ten seconds. ' +
        'The age of the oldest message is not included, because only CloudWatch has it (`ApproximateAgeOfOldestMessage`).',
      tag: 'queues',
      answer: Queues,
      notFound: UNKNOWN,
    }),
    query(),
    async (c) => {
      if (read === undefined) throw problem('not-found', UNKNOWN)
      if (kept === undefined || now() >= kept.untilMs) kept = { answer: ask(read), untilMs: now() + KEEP_MS }
      const { answer } = kept
      try {
        return c.json(await answer)
      } catch {
        // The next request asks again.
        if (kept.answer === answer) kept = undefined
        throw problem(
          'unavailable',
          'SQS did not return the number of messages. Allow sqs:GetQueueUrl and sqs:GetQueueAttributes on all queues, and try again.',
        )
      }
    },
  )
}
