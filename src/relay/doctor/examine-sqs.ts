import { deadLetterQueueName, OTHER, queueName, type Routes } from '../../protocol/index.ts'
import type { RelayConfig } from '../config.ts'
import { createSqs } from '../targets/sqs/sdk-client.ts'
import { fail, makeChecks, ok, type Finding } from './check.ts'
import { checkLimits, checkQueue, lookAtQueue } from './queue-check.ts'
import { checkSend } from './send-check.ts'
import { checkClock, isForAll, REQUEST_MS, sqsFix, sqsWords, watchClock } from './sqs-connection.ts'

/** Everything about SQS: each queue of the route table, the right to send, the clock. Sends nothing. Never throws. */
export async function examineSqs(config: RelayConfig, routes: Routes, now: () => number): Promise<readonly Finding[]> {
  const { endpoint, region, queuePrefix } = config
  const where = endpoint ?? `AWS, region ${region}`
  const sqs = createSqs(config, { requestTimeoutMs: REQUEST_MS })
  const skew = watchClock(sqs, now)
  try {
    const from = performance.now()
    // One first: where SQS is not there at all, that is said once.
    const probe = await lookAtQueue(sqs, queueName(queuePrefix, OTHER))
    const ms = Math.round(performance.now() - from)
    if ('error' in probe && isForAll(probe.error)) {
      const text = `SQS cannot be used (${where}): ${sqsWords(probe.error)}`
      return await makeChecks('sqs', {
        answer: () => fail('doctor.sqs.unusable', text, sqsFix(probe.error, `${queuePrefix}*`)),
        clock: () => checkClock(skew()),
      })
    }
    const queues = await Promise.all(
      routes.all.map(async (route) => {
        const [queue, dead] = await Promise.all([
          lookAtQueue(sqs, queueName(queuePrefix, route)),
          lookAtQueue(sqs, deadLetterQueueName(queuePrefix, route)),
        ])
        return { route, queue, dead }
      }),
    )
    return await makeChecks('sqs', {
      answer: () => ok(`SQS answers after ${ms} ms (${where})`),
      clock: () => checkClock(skew()),
      limits: () => checkLimits(queues.map(({ queue }) => queue)),
      ...Object.fromEntries(
        queues.map(({ route, queue, dead }) => [`queue/${route.name}`, () => checkQueue(config, route, queue, dead)]),
      ),
      ...Object.fromEntries(
        queues.map(({ route, queue }) => [`send/${route.name}`, () => checkSend(sqs, config, route, queue)]),
      ),
    })
  } finally {
    sqs.destroy()
  }
}
