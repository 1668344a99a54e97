import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs'
import { onTestFinished } from 'vitest'
import { createLambdaTrigger, type Invocation, type LambdaHandler } from '../../src/local/lambda/lambda-trigger.ts'
import { createLog } from '../../src/runtime/index.ts'
import type { useSqs } from './sqs.ts'

/** Delivers the messages in a route's queue to a handler, as Lambda does, until the test ends. */
export async function useTrigger(
  server: Awaited<ReturnType<typeof useSqs>>,
  route: string,
  handler: LambdaHandler,
  own: { timeoutMs?: number; onInvocation?: (invocation: Invocation) => void } = {},
) {
  const queueUrl = server.url(route)
  const { Attributes } = await server.sqs.send(
    new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['QueueArn'] }),
  )
  const trigger = createLambdaTrigger({
    sqs: server.sqs,
    queueUrl,
    queueArn: Attributes?.['QueueArn'] as string,
    handler,
    functionName: route,
    waitSeconds: 1,
    log: createLog('silent'),
    ...own,
  })
  const abort = new AbortController()
  const done = trigger.run(abort.signal)
  onTestFinished(async () => {
    abort.abort()
    await done
  })
}
