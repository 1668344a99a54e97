import { GetQueueAttributesCommand, GetQueueUrlCommand, CreateQueueCommand, type SQSClient } from '@aws-sdk/client-sqs'
import {
  CONTENT_ENCODING,
  GZIP,
  queueName,
  COMMAND_QUEUE,
  QUEUE_LIMITS,
  deadLetterQueueName,
  visibilitySeconds,
  type Route,
  type Routes,
} from '../../../protocol/index.ts'
import { backoffMs, createChangeDetector, sleep, type Logger } from '../../../runtime/index.ts'
import { describe, statusOf } from '../../relay-error.ts'
import type { Item } from '../../item.ts'
import { createOutages } from '../../sender/back-pressure.ts'
import type { SenderOptions } from '../../sender/sender.ts'
import type { Endpoint, Outcome, Parcel, Problem, Rejection, Target } from '../target.ts'
import type { BatchClient, BatchFailure } from './sqs-client.ts'
import { codeOf, isForSize, isMissingQueue, judgeEntry, judgeRequest, sqsProblem } from './verdict.ts'

export type SqsTargetOptions = Pick<SenderOptions, 'route' | 'log' | 'outages'> & {
  readonly queuePrefix: string
  readonly batches: BatchClient
}

/** Creates the target for a route's FIFO queue. */
export function createSqsTarget({ route, queuePrefix, batches, log, outages }: SqsTargetOptions): Target {
  const name = queueName(queuePrefix, route)
  const rejection = (of: Pick<Rejection, 'verdict' | 'reason' | 'detail'>, error: unknown): Rejection => ({
    ...of,
    isForSize: isForSize(of.reason, of.detail),
    isAnswer: true,
    isMissing: false,
    problem: sqsProblem(error, name, queuePrefix),
  })
  const judge = (failure: BatchFailure | undefined): Rejection => {
    if (failure === undefined) return rejection({ verdict: 'retry', reason: 'no answer', detail: '' }, undefined)
    const [reason, detail] = [String(failure.Code ?? 'unknown'), String(failure.Message ?? '')]
    return rejection({ verdict: judgeEntry({ ...failure, Code: reason }), reason, detail }, reason)
  }
  return {
    kind: 'sqs',
    name,
    workMs: 0,
    takesGzip: true,
    find: (signal, onProblem) => findQueue(batches.sqs, route, queuePrefix, log, signal, outages, onProblem),
    async send({ address }, parcels, signal, limitMs): Promise<readonly Outcome[]> {
      const body = formatBatch(address, parcels)
      const { Successful: accepted, Failed: failed } = await batches.send(body.bytes, signal, limitMs)
      // Only now is it certain that nothing reads these bytes any more.
      body.release()
      const acceptedIds = new Set(accepted?.map(({ Id }) => Id))
      const failures = new Map(failed?.map((failure) => [failure.Id, failure]))
      return parcels.map((_, index) =>
        acceptedIds.has(String(index)) ? 'accepted' : judge(failures.get(String(index))),
      )
    },
    explain: (error) => ({
      ...rejection({ verdict: judgeRequest(error), reason: codeOf(error), detail: describe(error) }, error),
      isAnswer: statusOf(error) !== undefined,
      isMissing: isMissingQueue(error),
    }),
  }
}

/** The longest wait (ms) between two lookups of a missing queue: an operator creates it, and sending should resume soon after that. */
const MAX_LOOKUP_WAIT_MS = 2_000

/** The assumed limit (bytes) of a queue that does not report its own: every SQS accepts it, and some servers accept no more. */
export const ASSUMED_BYTES = 262_144

/** Finds a route's queue: retries until it exists and can be used, or the signal aborts. Logs each problem once. */
export async function findQueue(
  sqs: SQSClient,
  route: Route,
  prefix: string,
  log: Logger,
  signal: AbortSignal,
  outages = createOutages(log),
  onProblem: (problem: Problem) => void = () => undefined,
): Promise<Endpoint | undefined> {
  const name = queueName(prefix, route)
  const change = createChangeDetector()
  const say = (problem: Problem, error?: unknown) => {
    onProblem(problem)
    if (change(problem.text) === undefined) return
    outages.end(route.name)
    outages.begin(route.name, problem, { queue: name, ...(error === undefined ? {} : { error: describe(error) }) })
  }
  for (let failures = 1; !signal.aborted; failures++) {
    try {
      const { QueueUrl: url } = await sqs.send(new GetQueueUrlCommand({ QueueName: name }), { abortSignal: signal })
      const { Attributes: attributes } = await sqs.send(
        new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['FifoQueue', 'MaximumMessageSize'] }),
        { abortSignal: signal },
      )
      // SQS itself allows the ending .fifo for FIFO queues only. Some servers do not report the attribute at all.
      if (attributes?.['FifoQueue'] !== 'false' && url !== undefined) {
        if (change(undefined) === 'over')
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
    await sleep(backoffMs(failures, { maxMs: MAX_LOOKUP_WAIT_MS }), signal)
  }
  return undefined
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c

/** The escape of each byte of JSON text within a JSON string. 0: the byte itself; otherwise the letter after a backslash. */
const ESCAPES = new Uint8Array(256)
const LETTERS = { '"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't' }
for (const [character, letter] of Object.entries(LETTERS)) ESCAPES[character.charCodeAt(0)] = letter.charCodeAt(0)

const ATTRIBUTES = `,"MessageAttributes":{"${CONTENT_ENCODING}":{"DataType":"String","StringValue":"${GZIP}"}}`

/** The maximum number of bytes that an entry needs besides its pack. */
const MAX_ENTRY_BYTES = 512

/** Buffers are allocated in multiples of this size, and this many are kept for reuse. */
const STEP_BYTES = 64 * 1024
const MAX_KEPT_BUFFERS = 8
const kept: Buffer[] = []

function takeBuffer(bytes: number): Buffer {
  const at = kept.findIndex((buffer) => buffer.length >= bytes)
  const [found] = at < 0 ? [] : kept.splice(at, 1)
  return found ?? Buffer.allocUnsafeSlow(Math.ceil(bytes / STEP_BYTES) * STEP_BYTES)
}

function writeEscaped(to: Buffer, start: number, from: Uint8Array): number {
  let at = start
  for (let index = 0; index < from.length; index++) {
    const byte = from[index] as number
    const letter = ESCAPES[byte] as number
    if (letter !== 0) to[at++] = BACKSLASH
    to[at++] = letter === 0 ? byte : letter
  }
  return at
}

/**
 * Formats the body of a SendMessageBatch request that sends these packs to a queue. It is written once, into a reused buffer. Events are JSON within
 * a JSON text, so each is escaped, and the bytes of packets go straight from Redis into the request. `release`: allows the buffer to be reused.
 * Source: SendMessageBatch in the SQS API reference, JSON protocol.
 */
export function formatBatch(queueUrl: string, parcels: readonly Parcel[]) {
  const events = parcels.reduce((sum, { pack }) => sum + pack.bytes, 0)
  // Each byte of an event becomes at most two: JSON text has no control characters except whitespace.
  const buffer = takeBuffer(2 * events + parcels.length * MAX_ENTRY_BYTES + 6 * queueUrl.length + MAX_ENTRY_BYTES)
  let at = 0
  const write = (text: string) => {
    at += buffer.write(text, at)
  }
  const writeEvent = ({ head, data }: Item) => {
    write(JSON.stringify(head).slice(1, -1))
    if (data === undefined) return
    at = writeEscaped(buffer, at, data)
    write('}')
  }
  write(`{"QueueUrl":${JSON.stringify(queueUrl)},"Entries":[`)
  for (const [id, { group, pack }] of parcels.entries()) {
    const { items, gzipped, deduplicationId } = pack
    write(
      `${id === 0 ? '' : ','}{"Id":"${id}","MessageGroupId":"${group}","MessageDeduplicationId":"${deduplicationId}"`,
    )
    write(`${gzipped === undefined ? '' : ATTRIBUTES},"MessageBody":"`)
    if (gzipped !== undefined) write(gzipped)
    else {
      if (items.length > 1) write('[')
      for (const [index, item] of items.entries()) {
        if (index > 0) buffer[at++] = COMMA
        writeEvent(item)
      }
      if (items.length > 1) write(']')
    }
    buffer[at++] = QUOTE
    write('}')
  }
  write(']}')
  return {
    bytes: buffer.subarray(0, at),
    release: () => {
      if (kept.length < MAX_KEPT_BUFFERS) kept.push(buffer)
    },
  }
}

/** Returns the name of the queue of operator commands. It has no function and no dead-letter queue. */
export const commandQueueName = (prefix: string): string => queueName(prefix, COMMAND_QUEUE)

/** The attributes of a route's queue, except the link to its dead-letter queue. Source: CreateQueue in the SQS API reference. */
const QUEUE_ATTRIBUTES: Readonly<Record<string, string>> = {
  FifoQueue: 'true',
  DeduplicationScope: 'messageGroup',
  FifoThroughputLimit: 'perMessageGroupId',
  MessageRetentionPeriod: String(QUEUE_LIMITS.retentionSeconds),
  MaximumMessageSize: String(QUEUE_LIMITS.messageBytes),
}

/** Lists the queues that `createQueues` creates: each route's queue and dead-letter queue by name. */
export function listQueues(prefix: string, routes: Routes): { route: Route; queue: string; deadLetterQueue: string }[] {
  return routes.all.map((route) => ({
    route,
    queue: queueName(prefix, route),
    deadLetterQueue: deadLetterQueueName(prefix, route),
  }))
}

/**
 * Creates every queue that does not exist yet: FIFO queues with high throughput, and a dead-letter queue for each route. A queue that exists with the
 * same attributes is left alone. @throws the SDK's error, for instance when a queue exists with other attributes
 */
export async function createQueues(
  sqs: SQSClient,
  prefix: string,
  routes: Routes,
): Promise<{ route: Route; url: string }[]> {
  const { retentionSeconds, visibilitySeconds: hidden } = COMMAND_QUEUE
  const own = { MessageRetentionPeriod: String(retentionSeconds), VisibilityTimeout: String(hidden) }
  const Attributes = { ...QUEUE_ATTRIBUTES, ...own }
  await sqs.send(new CreateQueueCommand({ QueueName: commandQueueName(prefix), Attributes }))
  return Promise.all(
    listQueues(prefix, routes).map(async ({ route, queue, deadLetterQueue }) => {
      const dead = await sqs.send(new CreateQueueCommand({ QueueName: deadLetterQueue, Attributes: QUEUE_ATTRIBUTES }))
      const { Attributes: found } = await sqs.send(
        new GetQueueAttributesCommand({ QueueUrl: dead.QueueUrl, AttributeNames: ['QueueArn'] }),
      )
      const policy = { deadLetterTargetArn: found?.['QueueArn'], maxReceiveCount: route.maxReceiveCount }
      const attributes = {
        ...QUEUE_ATTRIBUTES,
        VisibilityTimeout: String(visibilitySeconds(route)),
        RedrivePolicy: JSON.stringify(policy),
      }
      const made = await sqs.send(new CreateQueueCommand({ QueueName: queue, Attributes: attributes }))
      return { route, url: made.QueueUrl as string }
    }),
  )
}
