import { GetQueueAttributesCommand, GetQueueUrlCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { queueName, type Route } from '../../../protocol/index.ts'
import { backoffMs, sleep, type Logger } from '../../../runtime/index.ts'
import { describe, isForeignAnswer } from '../../errors.ts'
import { ProxyError } from '../http-handler.ts'
import { createOutages, type Outages } from '../../sender/outages.ts'
import type { Limits, Problem } from '../target.ts'
import { isAccessDenied, isForCredentials, isMissingQueue } from './verdict.ts'

/** Longest wait between two looks for a queue that is not there: it is made by hand, and then all should go on at once. */
const LOOK_MS = 2_000

/** Returns what is wrong and what to do about an error of SQS. */
export function sqsProblem(error: unknown, name: string, prefix: string): Problem {
  if (isMissingQueue(error))
    return {
      code: 'relay.sqs.queue_missing',
      text: `the queue ${name} does not exist: create it with "enigma-relay queues --create" or deploy the stack, or correct ENIGMA_QUEUE_PREFIX (now ${prefix})`,
    }
  if (error instanceof ProxyError)
    return {
      code: 'relay.proxy.refused',
      text: `${error.message}: check HTTPS_PROXY and what the proxy allows, or name the host in NO_PROXY; the relay keeps everything and retries`,
    }
  if (isForCredentials(error))
    return {
      code: 'relay.sqs.credentials_rejected',
      text: 'AWS does not accept the credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role, and check the clock',
    }
  if (isAccessDenied(error))
    return {
      code: 'relay.sqs.access_denied',
      text: `AWS denies access to ${name}: allow sqs:SendMessage, sqs:GetQueueUrl and sqs:GetQueueAttributes on it`,
    }
  if (isForeignAnswer(error))
    return {
      code: 'relay.sqs.foreign_answer',
      text: 'the server that answered is not SQS, or does not speak the JSON protocol of SQS: check AWS_ENDPOINT_URL_SQS and any proxy on the way; the relay keeps everything and retries',
    }
  return {
    code: 'relay.sqs.unavailable',
    text: 'SQS cannot be reached or does not accept messages: check AWS_REGION, AWS_ENDPOINT_URL_SQS and the network; the relay keeps everything and retries',
  }
}

/** The limit (bytes) of a queue that does not say its own: what every SQS takes, and some servers know no more. */
export const ASSUMED_BYTES = 262_144

export type FindQueueOptions = {
  /** Shared by all routes, so that what they all suffer from is said once. */
  readonly outages?: Outages
  /** Called for each try that fails. */
  readonly onProblem?: (problem: Problem) => void
}

/** Resolves a route's queue: tries until it is there and fit, or the signal aborts. Says what is wrong once. */
export async function findQueue(
  sqs: SQSClient,
  route: Route,
  prefix: string,
  log: Logger,
  signal: AbortSignal,
  more: FindQueueOptions = {},
): Promise<Limits | undefined> {
  const { outages = createOutages(log), onProblem } = more
  const name = queueName(prefix, route)
  let said = ''
  const say = (problem: Problem, error?: unknown) => {
    onProblem?.(problem)
    if (said !== problem.text) {
      outages.end(route.name)
      outages.begin(route.name, problem, { queue: name, ...(error === undefined ? {} : { error: describe(error) }) })
    }
    said = problem.text
  }
  for (let failures = 1; !signal.aborted; failures++) {
    try {
      const { QueueUrl: url } = await sqs.send(new GetQueueUrlCommand({ QueueName: name }), { abortSignal: signal })
      const { Attributes: attributes } = await sqs.send(
        new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['FifoQueue', 'MaximumMessageSize'] }),
        { abortSignal: signal },
      )
      // SQS itself takes the ending .fifo for FIFO queues only; some servers do not name the attribute at all.
      if (attributes?.['FifoQueue'] !== 'false' && url !== undefined) {
        if (said !== '')
          log.info({ code: 'relay.sqs.queue_found', route: route.name, queue: name }, 'The relay can use the queue now')
        outages.end(route.name)
        return { address: url, maxBytes: Number(attributes?.['MaximumMessageSize'] ?? ASSUMED_BYTES) }
      }
      say({
        code: 'relay.sqs.queue_not_fifo',
        text: `the queue ${name} is not a FIFO queue: delete it and create it with "enigma-relay queues --create"`,
      })
    } catch (error) {
      if (!signal.aborted) say(sqsProblem(error, name, prefix), error)
    }
    await sleep(backoffMs(failures, { maxMs: LOOK_MS }), signal)
  }
  return undefined
}
