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
      summary: 'All queues',
      description:
        'How many messages each queue and each dead-letter queue of the stack holds, as SQS approximates it. SQS is asked at most every ten seconds. ' +
        'The age of the oldest message is not here: only CloudWatch has it (`ApproximateAgeOfOldestMessage`).',
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
          'SQS does not tell how many messages the queues hold. Allow sqs:GetQueueUrl and sqs:GetQueueAttributes on all of them, and try again.',
        )
      }
    },
  )
}
