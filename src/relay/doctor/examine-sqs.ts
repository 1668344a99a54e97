import type { SQSClient } from '@aws-sdk/client-sqs'
import { deadLetterQueueName, queueName, ROUTES } from '../../protocol/index.ts'
import type { RelayConfig } from '../config.ts'
import { createSqs } from '../targets/sqs/sdk-client.ts'
import { checkClock, watchDate } from './clock-check.ts'
import { fail, ok, warn, type Finding } from './finding.ts'
import { checkLimits, checkQueue, lookAtQueue } from './queue-check.ts'
import { checkSend } from './send-check.ts'
import { isForAll, sqsFix, sqsWords } from './sqs-words.ts'

/** How long (ms) a request may take; the relay's own are allowed more. */
const REQUEST_MS = 5_000

/** Everything about SQS: each queue of the route table, the right to send, the clock. Sends nothing. Never throws. */
export async function examineSqs(config: RelayConfig, now: () => number): Promise<readonly Finding[]> {
  const sqs = createSqs(config, { requestTimeoutMs: REQUEST_MS })
  const date = watchDate(sqs, now)
  try {
    return await examine(sqs, config, date)
  } catch (error) {
    return [warn('sqs/answer', 'doctor.sqs.not_checked', `SQS could not be checked: ${sqsWords(error)}`)]
  } finally {
    sqs.destroy()
  }
}

async function examine(
  sqs: SQSClient,
  config: RelayConfig,
  date: ReturnType<typeof watchDate>,
): Promise<readonly Finding[]> {
  const where = config.endpoint ?? `AWS, region ${config.region}`
  const [first] = ROUTES
  const from = performance.now()
  // One first: where SQS is not there at all, that is said once.
  const probe = first === undefined ? undefined : await lookAtQueue(sqs, queueName(config.queuePrefix, first))
  if (probe !== undefined && 'error' in probe && isForAll(probe.error)) {
    return [
      fail(
        'sqs/answer',
        'doctor.sqs.unusable',
        `SQS cannot be used (${where}): ${sqsWords(probe.error)}`,
        sqsFix(probe.error, `${config.queuePrefix}*`),
      ),
      ...checkClock(date.last()),
    ]
  }
  const ms = Math.round(performance.now() - from)
  const queues = await Promise.all(
    ROUTES.map(async (route) => {
      const [queue, dead] = await Promise.all([
        lookAtQueue(sqs, queueName(config.queuePrefix, route)),
        lookAtQueue(sqs, deadLetterQueueName(config.queuePrefix, route)),
      ])
      return {
        queue,
        finding: checkQueue(config, route, queue, dead),
        send: await checkSend(sqs, config, route, queue),
      }
    }),
  )
  return [
    ok('sqs/answer', `SQS answers after ${ms} ms (${where})`),
    ...checkClock(date.last()),
    ...checkLimits(queues.map(({ queue }) => queue)),
    ...queues.map(({ finding }) => finding),
    ...queues.flatMap(({ send }) => send ?? []),
  ]
}
