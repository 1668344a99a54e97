import {
  deadLetterQueueName,
  QUEUE_LIMITS,
  queueName,
  visibilitySeconds,
  type Route,
} from '../../src/protocol/index.ts'
import type { StackRoute } from '../routes.ts'
import { find, isRecord, ofType, targetOf, type Properties, type Template } from './template.ts'

/** Lambda's pollers may hold a message for so many times the function's limit. Source: "Configuring a queue to use with Lambda". */
const VISIBILITY_FACTOR = 6

/** Whether each route of the table has all its parts, with the settings of the table. */
export function* checkRoutes(template: Template, prefix: string, routes: readonly StackRoute[]): Generator<string> {
  for (const route of routes) for (const fault of faultsOf(template, prefix, route)) yield `${route.name}: ${fault}`
  const queues = ofType(template, 'AWS::SQS::Queue').length
  if (queues !== routes.length * 2) yield `the template has ${queues} queues for ${routes.length} routes`
}

const same = (found: unknown, wanted: unknown): boolean => JSON.stringify(found) === JSON.stringify(wanted)

function* expect(of: string, properties: Properties, wanted: Properties): Generator<string> {
  for (const [name, value] of Object.entries(wanted))
    if (!same(properties[name], value))
      yield `${of} has ${name} ${JSON.stringify(properties[name])}, but the route table has ${JSON.stringify(value)}`
}

function* faultsOf(template: Template, prefix: string, route: Route): Generator<string> {
  const [queueId, queue] = find(template, 'AWS::SQS::Queue', (p) => p['QueueName'] === queueName(prefix, route)) ?? []
  const [deadId, dead] =
    find(template, 'AWS::SQS::Queue', (p) => p['QueueName'] === deadLetterQueueName(prefix, route)) ?? []
  if (queue === undefined || dead === undefined || queueId === undefined || deadId === undefined)
    return yield 'has no queue, or no dead-letter queue'
  const common = {
    FifoQueue: true,
    DeduplicationScope: 'messageGroup',
    FifoThroughputLimit: 'perMessageGroupId',
    MaximumMessageSize: QUEUE_LIMITS.messageBytes,
    MessageRetentionPeriod: QUEUE_LIMITS.retentionSeconds,
    SqsManagedSseEnabled: true,
  }
  yield* expect('the queue', queue, { ...common, VisibilityTimeout: visibilitySeconds(route) })
  yield* expect('the dead-letter queue', dead, common)
  const redrive = queue['RedrivePolicy']
  if (
    !isRecord(redrive) ||
    targetOf(redrive['deadLetterTargetArn']) !== deadId ||
    redrive['maxReceiveCount'] !== route.maxReceiveCount
  )
    yield 'the redrive policy of the queue differs from the route table'
  const allowed = dead['RedriveAllowPolicy']
  const sources =
    isRecord(allowed) && allowed['redrivePermission'] === 'byQueue' ? JSON.stringify(allowed['sourceQueueArns']) : ''
  if (!sources.includes(`:${queueName(prefix, route)}"`))
    yield 'the dead-letter queue does not allow its queue as a source'
  yield* faultsOfFunction(template, prefix, route, queueId)
  yield* faultsOfAlarms(template, prefix, route)
}

function* faultsOfFunction(template: Template, prefix: string, route: Route, queueId: string): Generator<string> {
  const name = `${prefix}${route.name}`
  const [functionId, properties] = find(template, 'AWS::Lambda::Function', (p) => p['FunctionName'] === name) ?? []
  if (properties === undefined || functionId === undefined) return yield 'has no function'
  yield* expect('the function', properties, {
    Runtime: 'nodejs24.x',
    Architectures: ['arm64'],
    MemorySize: route.memoryMiB,
    Timeout: route.timeoutSeconds,
  })
  const [, queue] = find(template, 'AWS::SQS::Queue', (p) => p['QueueName'] === queueName(prefix, route)) ?? []
  if (Number(queue?.['VisibilityTimeout']) < VISIBILITY_FACTOR * Number(properties['Timeout']))
    yield `the visibility timeout is less than ${VISIBILITY_FACTOR} times the function's timeout`
  const mappings = ofType(template, 'AWS::Lambda::EventSourceMapping').filter(
    ([, { Properties: p = {} }]) => targetOf(p['FunctionName']) === functionId,
  )
  if (mappings.length !== 1) yield `the function has ${mappings.length} event source mappings instead of one`
  const mapping = mappings[0]?.[1].Properties ?? {}
  if (targetOf(mapping['EventSourceArn']) !== queueId) yield 'the event source of the function is another queue'
  yield* expect('the mapping', mapping, {
    BatchSize: 10,
    FunctionResponseTypes: ['ReportBatchItemFailures'],
    ScalingConfig: { MaximumConcurrency: route.maxConcurrency },
  })
  const [, logs] = find(template, 'AWS::Logs::LogGroup', (p) => p['LogGroupName'] === `/aws/lambda/${name}`) ?? []
  if (typeof logs?.['RetentionInDays'] !== 'number')
    yield 'the log group of the function has no retention, or is not in the template'
}

function* faultsOfAlarms(template: Template, prefix: string, route: Route): Generator<string> {
  const wanted: readonly (readonly [metric: string, of: string, threshold: number])[] = [
    ['ApproximateNumberOfMessagesVisible', deadLetterQueueName(prefix, route), 0],
    ['Parked', `${prefix}${route.name}`, 0],
    ['ApproximateAgeOfOldestMessage', queueName(prefix, route), route.alarmAgeSeconds],
    ['Errors', `${prefix}${route.name}`, 0],
    ['Throttles', `${prefix}${route.name}`, 0],
  ]
  for (const [metric, of, threshold] of wanted) {
    const alarm = find(
      template,
      'AWS::CloudWatch::Alarm',
      (p) => p['MetricName'] === metric && JSON.stringify(p['Dimensions']).includes(`"Value":"${of}"`),
    )?.[1]
    if (alarm === undefined) yield `no alarm for ${metric}`
    else
      yield* expect(`the alarm for ${metric}`, alarm, {
        Threshold: threshold,
        ComparisonOperator: 'GreaterThanThreshold',
      })
  }
}
