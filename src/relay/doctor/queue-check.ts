import {
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  type QueueAttributeName,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { deadLetterQueueName, QUEUE_LIMITS, queueName, visibilitySeconds, type Route } from '../../protocol/index.ts'
import type { RelayConfig } from '../config.ts'
import { ASSUMED_BYTES } from '../targets/sqs/queue.ts'
import { fail, ok, warn, type Finding } from './finding.ts'
import { isMissing, sqsCli, sqsFix, sqsWords } from './sqs-words.ts'

/** A queue as SQS describes it, or what is wrong with asking. */
export type QueueView =
  { readonly url: string; readonly attributes: Readonly<Record<string, string>> } | { readonly error: unknown }

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
    const { Attributes = {} } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ATTRIBUTES }),
    )
    return { url, attributes: Attributes }
  } catch (error) {
    return { error }
  }
}

const isTold = (attributes: Readonly<Record<string, string>>): boolean => attributes['MaximumMessageSize'] !== undefined

/** Every queue of SQS says how large a message may be. What a server does not say cannot be checked, and the relay has to assume it. */
export function checkLimits(queues: readonly QueueView[]): Finding[] {
  if (queues.every((queue) => 'error' in queue || isTold(queue.attributes))) return []
  return [
    warn(
      'sqs/limits',
      'doctor.queue.no_size_limit',
      `this server does not report its message size limit, so the relay assumes ${ASSUMED_BYTES / 1024} KiB: it gzips larger messages, and parks those that are still too large`,
    ),
  ]
}

type Fault = { readonly state: 'warn' | 'fail'; readonly text: string; readonly set?: Readonly<Record<string, string>> }

/** A route's queue and its dead-letter queue: there, FIFO, and with the attributes that they need. */
export function checkQueue(config: RelayConfig, route: Route, queue: QueueView, dead: QueueView): Finding {
  const check = `sqs/queue/${route.name}`
  const name = queueName(config.queuePrefix, route)
  const deadName = deadLetterQueueName(config.queuePrefix, route)
  if ('error' in queue) {
    const text = isMissing(queue.error)
      ? `the queue ${name} does not exist`
      : `the queue ${name} cannot be read: ${sqsWords(queue.error)}`
    return fail(
      check,
      isMissing(queue.error) ? 'doctor.queue.missing' : 'doctor.queue.unreadable',
      text,
      sqsFix(queue.error, name),
    )
  }
  // A queue's name ends in .fifo if, and only if, it is FIFO; some servers do not name the attribute.
  if (queue.attributes['FifoQueue'] === 'false')
    return fail(
      check,
      'doctor.queue.not_fifo',
      `the queue ${name} is not FIFO`,
      `${sqsCli(config, 'delete-queue', queue.url)}, then enigma-relay queues --create`,
    )
  if ('error' in dead && isMissing(dead.error))
    return fail(
      check,
      'doctor.queue.no_dead_letter_queue',
      `the dead-letter queue ${deadName} does not exist`,
      'enigma-relay queues --create',
    )
  const faults = [
    ...faultsOf(queue.attributes, route, deadName, dead),
    ...('error' in dead ? [unseen(deadName, dead.error)] : deadFaults(dead.attributes, queue.attributes, deadName)),
  ]
  if (faults.length === 0) return ok(check, `${name} and its dead-letter queue have the right attributes`)
  const [own, ofDead] = [
    faults.filter(({ text }) => !text.startsWith(deadName)),
    faults.filter(({ text }) => text.startsWith(deadName)),
  ]
  const fixes = [
    setAttributes(config, queue, own),
    'error' in dead ? undefined : setAttributes(config, dead, ofDead),
  ].filter((fix) => fix !== undefined)
  return (faults.some(({ state }) => state === 'fail') ? fail : warn)(
    check,
    'doctor.queue.attributes',
    `${name}: ${faults.map(({ text }) => text).join('; ')}`,
    fixes.length > 0 ? fixes.join(' && ') : undefined,
  )
}

function* faultsOf(
  attributes: Readonly<Record<string, string>>,
  route: Route,
  deadName: string,
  dead: QueueView,
): Generator<Fault> {
  const number = (name: string) => Number(attributes[name] ?? Number.NaN)
  const below = (name: string, least: number, text: string): Fault[] =>
    number(name) < least ? [{ state: 'warn', text, set: { [name]: String(least) } }] : []
  yield* below(
    'MaximumMessageSize',
    QUEUE_LIMITS.messageBytes,
    `accepts messages of at most ${number('MaximumMessageSize')} bytes; the relay parks larger ones`,
  )
  yield* below(
    'MessageRetentionPeriod',
    QUEUE_LIMITS.retentionSeconds,
    `keeps messages for ${days(number('MessageRetentionPeriod'))} instead of 14 days`,
  )
  yield* below(
    'VisibilityTimeout',
    visibilitySeconds(route),
    `has a visibility timeout of ${number('VisibilityTimeout')} s, less than six times the function's timeout of ${route.timeoutSeconds} s`,
  )
  // A server that leaves out what every queue has says nothing by leaving out these.
  if (
    isTold(attributes) &&
    (attributes['DeduplicationScope'] !== 'messageGroup' || attributes['FifoThroughputLimit'] !== 'perMessageGroupId')
  ) {
    yield {
      state: 'warn',
      text: 'is not a high-throughput FIFO queue, so it accepts only 300 requests per second',
      set: { DeduplicationScope: 'messageGroup', FifoThroughputLimit: 'perMessageGroupId' },
    }
  }
  const { deadLetterTargetArn, maxReceiveCount } = redriveOf(attributes)
  const arn = deadLetterTargetArn ?? ('error' in dead ? undefined : dead.attributes['QueueArn'])
  const set =
    arn === undefined
      ? {}
      : {
          set: {
            RedrivePolicy: JSON.stringify({
              deadLetterTargetArn: arn.replace(/[^:]*$/, deadName),
              maxReceiveCount: route.maxReceiveCount,
            }),
          },
        }
  if (deadLetterTargetArn === undefined) {
    yield {
      state: 'fail',
      text: 'has no dead-letter queue: a message that its function cannot handle is retried until it expires, and blocks its lane',
      ...set,
    }
  } else if (!deadLetterTargetArn.endsWith(`:${deadName}`)) {
    yield {
      state: 'fail',
      text: `has the dead-letter queue ${deadLetterTargetArn.split(':').at(-1)} instead of ${deadName}, which nobody monitors`,
      ...set,
    }
  } else if (maxReceiveCount !== route.maxReceiveCount) {
    yield {
      state: 'warn',
      text: `has a maxReceiveCount of ${maxReceiveCount} instead of ${route.maxReceiveCount}`,
      ...set,
    }
  }
}

function* deadFaults(
  attributes: Readonly<Record<string, string>>,
  main: Readonly<Record<string, string>>,
  name: string,
): Generator<Fault> {
  const retention = Number(attributes['MessageRetentionPeriod'] ?? Number.NaN)
  if (retention < QUEUE_LIMITS.retentionSeconds)
    yield {
      state: 'warn',
      text: `${name} keeps messages for ${days(retention)} instead of 14 days`,
      set: { MessageRetentionPeriod: String(QUEUE_LIMITS.retentionSeconds) },
    }
  const [bytes, needed] = [
    Number(attributes['MaximumMessageSize'] ?? Number.NaN),
    Number(main['MaximumMessageSize'] ?? Number.NaN),
  ]
  if (bytes < Math.max(needed, QUEUE_LIMITS.messageBytes))
    yield {
      state: 'warn',
      text: `${name} accepts messages of at most ${bytes} bytes`,
      set: { MaximumMessageSize: String(QUEUE_LIMITS.messageBytes) },
    }
}

const unseen = (name: string, error: unknown): Fault => ({
  state: 'warn',
  text: `${name} cannot be read: ${sqsWords(error)}`,
})

function redriveOf(attributes: Readonly<Record<string, string>>): {
  readonly deadLetterTargetArn?: string
  readonly maxReceiveCount?: number
} {
  try {
    const policy = JSON.parse(attributes['RedrivePolicy'] ?? '{}') as {
      deadLetterTargetArn?: unknown
      maxReceiveCount?: unknown
    }
    return typeof policy.deadLetterTargetArn === 'string'
      ? { deadLetterTargetArn: policy.deadLetterTargetArn, maxReceiveCount: Number(policy.maxReceiveCount) }
      : {}
  } catch {
    return {}
  }
}

const days = (seconds: number) =>
  seconds < 24 * 3600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`

function setAttributes(
  config: RelayConfig,
  queue: { readonly url: string },
  faults: readonly Fault[],
): string | undefined {
  const attributes = Object.assign({}, ...faults.map(({ set }) => set ?? {})) as Record<string, string>
  return Object.keys(attributes).length === 0
    ? undefined
    : `${sqsCli(config, 'set-queue-attributes', queue.url)} --attributes '${JSON.stringify(attributes)}'`
}
