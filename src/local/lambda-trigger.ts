import type { Message, SQSClient } from '@aws-sdk/client-sqs'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { Consumer } from 'sqs-consumer'
import { backoffMs, sleep, type Logger } from '../runtime/index.ts'
import { StreetError } from './errors.ts'
import { readAnswer, toLambdaRecord, type LambdaHandler, type LambdaRecord } from './lambda-event.ts'

/** What came of one invocation. */
export type Invocation = {
  readonly functionName: string
  readonly records: readonly LambdaRecord[]
  /** Message ids; the others are done, and deleted after this is told. */
  readonly failed: ReadonlySet<string>
}

export type LambdaTriggerOptions = {
  /** Needs a socket for each poller and some more: `maxSockets` of its agents. */
  readonly sqs: SQSClient
  readonly queueUrl: string
  /** Records carry it, and their region is taken from it. */
  readonly queueArn: string
  readonly handler: LambdaHandler
  readonly functionName: string
  /** The function's time limit, ms. An invocation that takes longer has failed, as in Lambda; here it cannot be ended. Default 30,000. */
  readonly timeoutMs?: number
  /** Batches in work at once, so that a slow one does not stop the other message groups. Default 4. */
  readonly pollers?: number
  /** Most messages in a batch, 1 to 10. Default 10. */
  readonly batchSize?: number
  /** How long (s) one request waits for messages, 1 to 20. Default 20. */
  readonly waitSeconds?: number
  readonly log: Logger
  readonly onInvocation?: (invocation: Invocation) => void
}

export type LambdaTrigger = {
  /** Polls until the signal aborts; resolves when the batches in work are done and deleted. */
  run: (signal: AbortSignal) => Promise<void>
}

/** Lambda's event source mapping for one queue: batches to the function, and exactly what it has not failed is deleted. */
export function createLambdaTrigger(options: LambdaTriggerOptions): LambdaTrigger {
  const { pollers = 4 } = options
  return {
    run: async (signal) => {
      await Promise.all(Array.from({ length: pollers }, () => poll(options, signal)))
    },
  }
}

async function poll(options: LambdaTriggerOptions, signal: AbortSignal): Promise<void> {
  const { sqs, queueUrl, batchSize = 10, waitSeconds = 20, functionName, log } = options
  let failures = 0
  let isWorking = false
  let cycle = Promise.withResolvers<void>()
  cycle.resolve()
  const endCycle = () => {
    isWorking = false
    cycle.resolve()
  }
  const consumer = Consumer.create({
    sqs,
    queueUrl,
    batchSize,
    waitTimeSeconds: waitSeconds,
    messageSystemAttributeNames: ['All'],
    messageAttributeNames: ['All'],
    // Its warning is about handlers that know nothing of order: Lambda's own pollers do the same as this.
    suppressFifoWarning: true,
    authenticationErrorTimeout: 1_000,
    preReceiveMessageCallback: async () => {
      cycle = Promise.withResolvers()
      if (failures > 0) await sleep(backoffMs(failures), signal)
    },
    postReceiveMessageCallback: () => {
      failures = 0
      return Promise.resolve()
    },
    handleMessageBatch: (messages) => {
      isWorking = true
      return invoke(options, messages)
    },
  })
  consumer.on('empty', endCycle)
  // Comes after the deletion, also when that has failed.
  consumer.on('response_processed', endCycle)
  consumer.on('error', (error) => {
    failures++
    // The words of SQS, which hold no payload; once for a row of them.
    if (!signal.aborted && failures === 1)
      log.error(
        { code: 'dev.trigger.sqs_refused', function: functionName, error: error.message },
        'SQS refused a request; the trigger tries again',
      )
    endCycle()
  })
  if (signal.aborted) return
  const stopped = once(signal, 'abort')
  consumer.start()
  await stopped
  // What is in work is finished and deleted; an idle request is not waited for.
  consumer.stop({ abort: !isWorking })
  await cycle.promise
}

async function invoke(options: LambdaTriggerOptions, messages: Message[]): Promise<Message[]> {
  const { handler, functionName, queueArn, timeoutMs = 30_000, log, onInvocation } = options
  const records = messages.map((message) => toLambdaRecord(message, queueArn))
  const ids = new Set(records.map((record) => record.messageId))
  const endMs = performance.now() + timeoutMs
  const context = {
    functionName,
    awsRequestId: randomUUID(),
    getRemainingTimeInMillis: () => Math.max(0, endMs - performance.now()),
  }
  let failed: ReadonlySet<string> = ids
  const finished = new AbortController()
  try {
    const late = sleep(timeoutMs, finished.signal).then((): never => {
      throw new StreetError('dev.function.timed_out', `the function did not answer within ${timeoutMs} ms`)
    })
    // It loses the race as a rule, and then nobody listens.
    late.catch(() => undefined)
    const answer = readAnswer(await Promise.race([handler({ Records: records }, context), late]), ids)
    if (answer === 'all')
      log.error(
        { code: 'dev.function.bad_answer', function: functionName },
        'the function returned an answer that Lambda does not understand: the whole batch counts as failed',
      )
    else failed = answer
  } catch (error) {
    // Only the error's name: its words are the function's, and might hold personal data.
    log.error(
      { code: 'dev.function.threw', function: functionName, error: error instanceof Error ? error.name : typeof error },
      'the function threw an error: the whole batch counts as failed',
    )
  } finally {
    finished.abort()
  }
  onInvocation?.({ functionName, records, failed })
  return messages.filter((message) => !failed.has(message.MessageId ?? ''))
}
