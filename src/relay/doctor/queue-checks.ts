import {
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { deadLetterQueueName, QUEUE_LIMITS, queueName, visibilitySeconds, type Route } from '../../protocol/index.ts'
import type { RelayConfig } from '../config.ts'
import { ASSUMED_BYTES, commandQueueName } from '../targets/sqs/sqs-target.ts'
import { isAccessDenied, isForValues, isMissingQueue, judgeRequest, sqsFix } from '../targets/sqs/verdict.ts'
import { counted, fail, ok, sqsWords, warn, type Diagnosis, type State } from './check.ts'

type Attributes = Readonly<Record<string, string>>

/** A queue as SQS describes it, or the error if it cannot be read. */
export type QueueView = { readonly url: string; readonly attributes: Attributes } | { readonly error: unknown }

/** Named one by one: some servers refuse `All` to a user who may not read the policy. */
const ATTRIBUTES = [
  'FifoQueue',
  'MaximumMessageSize',
  'DeduplicationScope',
  'FifoThroughputLimit',
  'RedrivePolicy',
  'MessageRetentionPeriod',
  'VisibilityTimeout',
  'KmsMasterKeyId',
  'QueueArn',
] as const

export async function readQueue(sqs: SQSClient, queue: string): Promise<QueueView> {
  try {
    const { QueueUrl: url = '' } = await sqs.send(new GetQueueUrlCommand({ QueueName: queue }))
    const { Attributes: attributes = {} } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: [...ATTRIBUTES] }),
    )
    return { url, attributes }
  } catch (error) {
    return { error }
  }
}

const isTold = (attributes: Attributes): boolean => attributes['MaximumMessageSize'] !== undefined

/**
 * Warns when the server does not report the maximum message size, as SQS always does. The check is then impossible, and the relay has to assume a
 * limit.
 */
export function checkLimits(queues: readonly QueueView[]): Diagnosis | [] {
  if (queues.every((queue) => 'error' in queue || isTold(queue.attributes))) return []
  const text = `this server does not report its message size limit, so the relay assumes ${ASSUMED_BYTES / 1024} KiB: it gzips larger messages, and parks those that are still too large`
  return warn('doctor.queue.no_size_limit', text)
}

/** Checks a route's queue and its dead-letter queue: that both exist, are FIFO, and have the attributes that they need. */
export function checkQueue(config: RelayConfig, route: Route, queue: QueueView, dead: QueueView): Diagnosis {
  const name = queueName(config.queuePrefix, route)
  const deadName = deadLetterQueueName(config.queuePrefix, route)
  if ('error' in queue) {
    const fix = sqsFix(queue.error, name)
    return isMissingQueue(queue.error)
      ? fail('doctor.queue.missing', `the queue ${name} does not exist`, fix)
      : fail('doctor.queue.unreadable', `the queue ${name} cannot be read: ${sqsWords(queue.error)}`, fix)
  }
  // A queue's name ends in .fifo if, and only if, it is FIFO. Some servers do not report the attribute.
  if (queue.attributes['FifoQueue'] === 'false') {
    const fix = `${sqsCli(config, 'delete-queue', queue.url)}, then enigma-relay queues --create`
    return fail('doctor.queue.not_fifo', `the queue ${name} is not FIFO`, fix)
  }
  if ('error' in dead && isMissingQueue(dead.error)) {
    const text = `the dead-letter queue ${deadName} does not exist`
    return fail('doctor.queue.no_dead_letter_queue', text, 'enigma-relay queues --create')
  }
  const own = faultsOf(queue.attributes, route, deadName, 'error' in dead ? undefined : dead.attributes['QueueArn'])
  const ofDead = faultsOfDead(dead, deadName)
  const faults = [...own, ...ofDead]
  if (faults.length === 0) return ok(`${name} and its dead-letter queue have the right attributes`)
  const fixes = [mend(config, queue, own), mend(config, dead, ofDead)].filter((fix) => fix !== undefined)
  const text = `${name}: ${faults.map((fault) => fault.text).join('; ')}`
  const say = faults.some(({ state }) => state === 'fail') ? fail : warn
  return say('doctor.queue.attributes', text, fixes.length > 0 ? fixes.join(' && ') : undefined)
}

/** A fault of a queue, and the attributes that fix it, if any do. */
type Fault = { readonly state: State; readonly text: string; readonly set: Attributes }

/** Finds an attribute that is too small. An attribute that the server does not report is no fault. */
function below(attributes: Attributes, name: string, least: number, say: (value: number) => string): Fault[] {
  const value = Number(attributes[name] ?? Number.NaN)
  return value < least ? [{ state: 'warn', text: say(value), set: { [name]: String(least) } }] : []
}

const tooSmall = (attributes: Attributes, say: (bytes: number) => string): Fault[] =>
  below(attributes, 'MaximumMessageSize', QUEUE_LIMITS.messageBytes, say)

const tooShort = (attributes: Attributes, start: string): Fault[] =>
  below(attributes, 'MessageRetentionPeriod', QUEUE_LIMITS.retentionSeconds, (seconds) => {
    const [hours, days] = [Math.round(seconds / 3_600), Math.round(seconds / 86_400)]
    const time = seconds < 86_400 ? `${hours} h` : counted(days, 'day', 'days')
    return `${start}keeps messages for ${time} instead of 14 days`
  })

function faultsOf(attributes: Attributes, route: Route, deadName: string, deadArn: string | undefined): Fault[] {
  const slow: Fault = {
    state: 'warn',
    text: 'is not a high-throughput FIFO queue, so it accepts only 300 requests per second',
    set: { DeduplicationScope: 'messageGroup', FifoThroughputLimit: 'perMessageGroupId' },
  }
  const sayTimeout = (seconds: number) =>
    `has a visibility timeout of ${seconds} s, less than six times the function's timeout of ${route.timeoutSeconds} s`
  // A server that omits an attribute of every queue may omit these as well, so their absence proves nothing.
  const isFast = !isTold(attributes) || Object.entries(slow.set).every(([name, value]) => attributes[name] === value)
  return [
    ...tooSmall(attributes, (bytes) => `accepts messages of at most ${bytes} bytes; the relay parks larger ones`),
    ...tooShort(attributes, ''),
    ...below(attributes, 'VisibilityTimeout', visibilitySeconds(route), sayTimeout),
    ...(isFast ? [] : [slow]),
    ...redriveFaults(attributes, route, deadName, deadArn),
  ]
}

function redriveFaults(attributes: Attributes, route: Route, deadName: string, deadArn: string | undefined): Fault[] {
  const { maxReceiveCount } = route
  const redrive = redriveOf(attributes)
  const deadLetterTargetArn = (redrive?.arn ?? deadArn)?.replace(/[^:]*$/, deadName)
  const policy = JSON.stringify({ deadLetterTargetArn, maxReceiveCount })
  const fault = (state: State, text: string): Fault[] => [
    { state, text, set: deadLetterTargetArn === undefined ? {} : { RedrivePolicy: policy } },
  ]
  const none =
    'has no dead-letter queue: a message that its function cannot handle is retried until it expires, and blocks its lane'
  if (redrive === undefined) return fault('fail', none)
  const { arn, maxReceiveCount: actual } = redrive
  const other = `has the dead-letter queue ${arn.split(':').at(-1)}, which nobody monitors, instead of ${deadName}`
  if (!arn.endsWith(`:${deadName}`)) return fault('fail', other)
  if (actual === maxReceiveCount) return []
  return fault('warn', `has a maxReceiveCount of ${actual} instead of ${maxReceiveCount}`)
}

/** Returns the dead-letter queue that a queue names, and after how many deliveries a message is moved there. */
function redriveOf(attributes: Attributes): { readonly arn: string; readonly maxReceiveCount: number } | undefined {
  try {
    const policy = JSON.parse(attributes['RedrivePolicy'] ?? '{}') as Partial<Record<string, unknown>> | null
    const arn = policy?.['deadLetterTargetArn']
    return typeof arn === 'string' ? { arn, maxReceiveCount: Number(policy?.['maxReceiveCount']) } : undefined
  } catch {
    return undefined
  }
}

function faultsOfDead(dead: QueueView, name: string): Fault[] {
  if ('error' in dead) return [{ state: 'warn', text: `${name} cannot be read: ${sqsWords(dead.error)}`, set: {} }]
  return [
    ...tooShort(dead.attributes, `${name} `),
    ...tooSmall(dead.attributes, (bytes) => `${name} accepts messages of at most ${bytes} bytes`),
  ]
}

/** Returns a command that sets the attributes of these faults; undefined when there is nothing to set. */
function mend(config: RelayConfig, queue: QueueView, faults: readonly Fault[]): string | undefined {
  const attributes: Attributes = Object.assign({}, ...faults.map(({ set }) => set))
  if ('error' in queue || Object.keys(attributes).length === 0) return undefined
  return `${sqsCli(config, 'set-queue-attributes', queue.url)} --attributes '${JSON.stringify(attributes)}'`
}

function sqsCli({ region, endpoint }: RelayConfig, command: string, url: string): string {
  return `aws sqs ${command} --region ${region}${endpoint === undefined ? '' : ` --endpoint-url ${endpoint}`} --queue-url ${url}`
}

/** No message has this handle. */
const ReceiptHandle = 'doctor'

/** The actions of a relay on the command queue, in forms that change nothing: SQS checks rights before it checks values. */
const tries = (sqs: SQSClient, QueueUrl: string): Readonly<Record<string, () => Promise<unknown>>> => ({
  'sqs:ReceiveMessage': () => sqs.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 11 })),
  'sqs:DeleteMessage': () => sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle })),
  'sqs:ChangeMessageVisibility': () =>
    sqs.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 })),
})

/** Checks whether the relay can take operator commands. All of its other work is independent of them. */
export async function checkCommands(sqs: SQSClient, config: RelayConfig): Promise<Diagnosis | []> {
  if (!config.commands) return []
  const name = commandQueueName(config.queuePrefix)
  const without = 'operators cannot retry or delete parked notifications of this relay through the API'
  const queue = await readQueue(sqs, name)
  if ('error' in queue) {
    if (isMissingQueue(queue.error)) {
      const fix = 'deploy the stack, run enigma-relay queues --create, or set ENIGMA_COMMANDS=none'
      return warn('doctor.commands.missing', `the queue ${name} does not exist, so ${without}`, fix)
    }
    const fix = `allow sqs:GetQueueUrl and sqs:GetQueueAttributes on ${name}, or set ENIGMA_COMMANDS=none`
    return warn('doctor.commands.unreadable', `the queue ${name} cannot be read: ${sqsWords(queue.error)}`, fix)
  }
  const denied: string[] = []
  for (const [action, run] of Object.entries(tries(sqs, queue.url))) {
    try {
      await run()
    } catch (error) {
      if (isAccessDenied(error)) denied.push(action)
      else if (!isForValues(error)) {
        const text = `whether the relay may take commands from ${name} could not be checked: ${sqsWords(error)}`
        return warn('doctor.commands.not_checked', text)
      }
    }
  }
  if (denied.length === 0) return ok(`the relay may take commands from ${name}`)
  const fix = `allow ${denied.join(', ')} on ${name}, or set ENIGMA_COMMANDS=none`
  return warn('doctor.commands.denied', `the relay may not take commands from ${name}, so ${without}`, fix)
}

/**
 * A message that no FIFO queue accepts: it has no group, and contains a character that SQS does not allow. SQS answers a batch entry by entry,
 * and checks entries after it has checked the right to send. Without that right it rejects the whole request. Some servers reject the whole request
 * for an invalid entry, and name the fault. Source: SendMessageBatch and SendMessage in the SQS API reference.
 */
const REFUSED = { Id: 'doctor', MessageBody: '\u0001' } as const

/** Checks whether the relay may send to a route's queue. Sends nothing. */
export async function checkSend(sqs: SQSClient, name: string, queue: QueueView): Promise<Diagnosis | []> {
  // An error is reported already, and a queue that is not FIFO would accept the message.
  if ('error' in queue || queue.attributes['FifoQueue'] === 'false') return []
  const may = `the relay may send to ${name}`
  try {
    const { Failed = [], Successful = [] } = await sqs.send(
      new SendMessageBatchCommand({ QueueUrl: queue.url, Entries: [REFUSED] }),
    )
    const notSqs = `${name} accepted a message that SQS rejects: this server is not SQS, and the queue now holds one message of the check`
    if (Successful.length > 0) return warn('doctor.send.not_sqs', notSqs)
    const unknown = `the right to send could not be checked: the response of ${name} does not mention the message`
    if (Failed.length === 0) return warn('doctor.send.not_checked', unknown)
    if ((queue.attributes['KmsMasterKeyId'] ?? '') === '') return ok(may)
    const mayEncrypt = `${may}; whether it may use the encryption key could not be checked`
    return warn('doctor.send.key_not_checked', mayEncrypt, 'allow kms:GenerateDataKey and kms:Decrypt on that key')
  } catch (error) {
    if (isAccessDenied(error))
      return fail('doctor.send.denied', `the relay may not send to ${name}`, sqsFix(error, name))
    if (judgeRequest(error) === 'refused' || (error instanceof Error && error.name === 'MissingParameter'))
      return ok(may)
    const text = `whether the relay may send to ${name} could not be checked: ${sqsWords(error)}`
    return warn('doctor.send.not_checked', text)
  }
}
