import {
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  type QueueAttributeName,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import {
  deadLetterQueueName,
  isObject,
  QUEUE_LIMITS,
  queueName,
  visibilitySeconds,
  type Route,
} from '../../protocol/index.ts'
import type { RelayConfig } from '../config.ts'
import { ASSUMED_BYTES } from '../targets/sqs/queue.ts'
import { isMissingQueue } from '../targets/sqs/verdict.ts'
import { counted, fail, ok, warn, type Diagnosis } from './check.ts'
import { sqsFix, sqsWords } from './sqs-connection.ts'

type Attributes = Readonly<Record<string, string>>

/** A queue as SQS describes it, or what is wrong with asking. */
export type QueueView = { readonly url: string; readonly attributes: Attributes } | { readonly error: unknown }

/** Asked one by one: some servers refuse `All` to a user who may not see the policy. */
const ATTRIBUTES: QueueAttributeName[] = [
  'FifoQueue',
  'MaximumMessageSize',
  'DeduplicationScope',
  'FifoThroughputLimit',
  'RedrivePolicy',
  'MessageRetentionPeriod',
  'VisibilityTimeout',
  'KmsMasterKeyId',
  'QueueArn',
]

export async function lookAtQueue(sqs: SQSClient, queue: string): Promise<QueueView> {
  try {
    const { QueueUrl: url = '' } = await sqs.send(new GetQueueUrlCommand({ QueueName: queue }))
    const { Attributes: attributes = {} } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ATTRIBUTES }),
    )
    return { url, attributes }
  } catch (error) {
    return { error }
  }
}

const isTold = (attributes: Attributes): boolean => attributes['MaximumMessageSize'] !== undefined

/** Every queue of SQS says how large a message may be. What a server does not say cannot be checked, and the relay has to assume it. */
export function checkLimits(queues: readonly QueueView[]): Diagnosis | [] {
  if (queues.every((queue) => 'error' in queue || isTold(queue.attributes))) return []
  return warn(
    'doctor.queue.no_size_limit',
    `this server does not report its message size limit, so the relay assumes ${ASSUMED_BYTES / 1024} KiB: it gzips larger messages, and parks those that are still too large`,
  )
}

/** What is wrong with a queue, and the attributes that mend it, if any do. */
type Fault = { readonly state: 'warn' | 'fail'; readonly text: string; readonly set: Attributes }

/** A route's queue and its dead-letter queue: there, FIFO, and with the attributes that they need. */
export function checkQueue(config: RelayConfig, route: Route, queue: QueueView, dead: QueueView): Diagnosis {
  const name = queueName(config.queuePrefix, route)
  const deadName = deadLetterQueueName(config.queuePrefix, route)
  if ('error' in queue) {
    const fix = sqsFix(queue.error, name)
    return isMissingQueue(queue.error)
      ? fail('doctor.queue.missing', `the queue ${name} does not exist`, fix)
      : fail('doctor.queue.unreadable', `the queue ${name} cannot be read: ${sqsWords(queue.error)}`, fix)
  }
  // A queue's name ends in .fifo if, and only if, it is FIFO; some servers do not name the attribute.
  if (queue.attributes['FifoQueue'] === 'false')
    return fail(
      'doctor.queue.not_fifo',
      `the queue ${name} is not FIFO`,
      `${sqsCli(config, 'delete-queue', queue.url)}, then enigma-relay queues --create`,
    )
  if ('error' in dead && isMissingQueue(dead.error))
    return fail(
      'doctor.queue.no_dead_letter_queue',
      `the dead-letter queue ${deadName} does not exist`,
      'enigma-relay queues --create',
    )
  const deadArn = 'error' in dead ? undefined : dead.attributes['QueueArn']
  const own = [...faultsOf(queue.attributes, route, deadName, deadArn)]
  const ofDead = [...faultsOfDead(dead, deadName)]
  const faults = [...own, ...ofDead]
  if (faults.length === 0) return ok(`${name} and its dead-letter queue have the right attributes`)
  const fixes = [mend(config, queue, own), mend(config, dead, ofDead)].filter((fix) => fix !== undefined)
  return (faults.some(({ state }) => state === 'fail') ? fail : warn)(
    'doctor.queue.attributes',
    `${name}: ${faults.map(({ text }) => text).join('; ')}`,
    fixes.length > 0 ? fixes.join(' && ') : undefined,
  )
}

/** An attribute that is less than it should be. One that the server does not tell is no fault. */
function below(attributes: Attributes, name: string, least: number, say: (value: number) => string): Fault[] {
  const value = Number(attributes[name] ?? Number.NaN)
  return value < least ? [{ state: 'warn', text: say(value), set: { [name]: String(least) } }] : []
}

function* faultsOf(
  attributes: Attributes,
  route: Route,
  deadName: string,
  deadArn: string | undefined,
): Generator<Fault> {
  yield* below(
    attributes,
    'MaximumMessageSize',
    QUEUE_LIMITS.messageBytes,
    (bytes) => `accepts messages of at most ${bytes} bytes; the relay parks larger ones`,
  )
  yield* below(attributes, 'MessageRetentionPeriod', QUEUE_LIMITS.retentionSeconds, sayRetention)
  yield* below(
    attributes,
    'VisibilityTimeout',
    visibilitySeconds(route),
    (seconds) =>
      `has a visibility timeout of ${seconds} s, less than six times the function's timeout of ${route.timeoutSeconds} s`,
  )
  // A server that leaves out what every queue has says nothing by leaving out these.
  if (
    isTold(attributes) &&
    (attributes['DeduplicationScope'] !== 'messageGroup' || attributes['FifoThroughputLimit'] !== 'perMessageGroupId')
  )
    yield {
      state: 'warn',
      text: 'is not a high-throughput FIFO queue, so it accepts only 300 requests per second',
      set: { DeduplicationScope: 'messageGroup', FifoThroughputLimit: 'perMessageGroupId' },
    }
  yield* redriveFaults(attributes, route, deadName, deadArn)
}

function* redriveFaults(
  attributes: Attributes,
  { maxReceiveCount }: Route,
  deadName: string,
  deadArn: string | undefined,
): Generator<Fault> {
  const redrive = redriveOf(attributes)
  const deadLetterTargetArn = (redrive?.arn ?? deadArn)?.replace(/[^:]*$/, deadName)
  const set: Attributes =
    deadLetterTargetArn === undefined ? {} : { RedrivePolicy: JSON.stringify({ deadLetterTargetArn, maxReceiveCount }) }
  if (redrive === undefined)
    yield {
      state: 'fail',
      text: 'has no dead-letter queue: a message that its function cannot handle is retried until it expires, and blocks its lane',
      set,
    }
  else if (!redrive.arn.endsWith(`:${deadName}`))
    yield {
      state: 'fail',
      text: `has the dead-letter queue ${redrive.arn.split(':').at(-1)} instead of ${deadName}, which nobody monitors`,
      set,
    }
  else if (redrive.maxReceiveCount !== maxReceiveCount)
    yield {
      state: 'warn',
      text: `has a maxReceiveCount of ${redrive.maxReceiveCount} instead of ${maxReceiveCount}`,
      set,
    }
}

/** The dead-letter queue that a queue names, and after how many tries a message goes there. */
function redriveOf(attributes: Attributes): { readonly arn: string; readonly maxReceiveCount: number } | undefined {
  try {
    const policy: unknown = JSON.parse(attributes['RedrivePolicy'] ?? '{}')
    const { deadLetterTargetArn: arn, maxReceiveCount } = isObject(policy) ? policy : {}
    return typeof arn === 'string' ? { arn, maxReceiveCount: Number(maxReceiveCount) } : undefined
  } catch {
    return undefined
  }
}

function* faultsOfDead(dead: QueueView, name: string): Generator<Fault> {
  if ('error' in dead) return yield { state: 'warn', text: `${name} cannot be read: ${sqsWords(dead.error)}`, set: {} }
  yield* below(
    dead.attributes,
    'MessageRetentionPeriod',
    QUEUE_LIMITS.retentionSeconds,
    (seconds) => `${name} ${sayRetention(seconds)}`,
  )
  yield* below(
    dead.attributes,
    'MaximumMessageSize',
    QUEUE_LIMITS.messageBytes,
    (bytes) => `${name} accepts messages of at most ${bytes} bytes`,
  )
}

const sayRetention = (seconds: number): string =>
  `keeps messages for ${seconds < 86_400 ? `${Math.round(seconds / 3_600)} h` : counted(Math.round(seconds / 86_400), 'day', 'days')} instead of 14 days`

/** A command that sets the attributes of these faults; undefined when there is nothing to set. */
function mend(config: RelayConfig, queue: QueueView, faults: readonly Fault[]): string | undefined {
  const attributes: Attributes = Object.assign({}, ...faults.map(({ set }) => set))
  if ('error' in queue || Object.keys(attributes).length === 0) return undefined
  return `${sqsCli(config, 'set-queue-attributes', queue.url)} --attributes '${JSON.stringify(attributes)}'`
}

/** A command line for the AWS CLI. */
function sqsCli({ region, endpoint }: RelayConfig, command: string, url: string): string {
  return `aws sqs ${command} --region ${region}${endpoint === undefined ? '' : ` --endpoint-url ${endpoint}`} --queue-url ${url}`
}
