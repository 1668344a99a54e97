import {
  COMMAND_QUEUE,
  deadLetterQueueName,
  isObject,
  QUEUE_LIMITS,
  queueName,
  RELAY_ROUTES,
  visibilitySeconds,
  type Route,
} from '../../src/protocol/index.ts'
import { find, findAlarm, objectsIn, ofType, targetOf, type Properties, type Template } from './cloudformation.ts'

/** The minimum ratio of the visibility timeout to the function's timeout. Source: "Configuring a queue to use with Lambda". */
const MIN_VISIBILITY_FACTOR = 6

/** Checks that each route has all of its resources, with the settings of the route table. */
export function* checkRoutes(template: Template, prefix: string, routes: readonly Route[]): Generator<string> {
  for (const route of routes) for (const fault of faultsOf(template, prefix, route)) yield `${route.name}: ${fault}`
  const queues = ofType(template, 'AWS::SQS::Queue').length
  if (queues !== routes.length * 2 + 1)
    yield `the template has ${queues} queues for ${routes.length} routes and the commands to the relays`
}

function* expect(of: string, properties: Properties, wanted: Properties): Generator<string> {
  for (const [name, value] of Object.entries(wanted))
    if (JSON.stringify(properties[name]) !== JSON.stringify(value))
      yield `${of} has ${name} ${JSON.stringify(properties[name])}, but the route table has ${JSON.stringify(value)}`
}

function* faultsOf(template: Template, prefix: string, route: Route): Generator<string> {
  const [name, deadName] = [queueName(prefix, route), deadLetterQueueName(prefix, route)]
  const [queueId, queue] = find(template, 'AWS::SQS::Queue', (p) => p['QueueName'] === name)
  const [deadId, dead] = find(template, 'AWS::SQS::Queue', (p) => p['QueueName'] === deadName)
  if (queueId === undefined || deadId === undefined) return yield 'has no queue, or no dead-letter queue'
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
    !isObject(redrive) ||
    targetOf(redrive['deadLetterTargetArn']) !== deadId ||
    redrive['maxReceiveCount'] !== route.maxReceiveCount
  )
    yield 'the redrive policy of the queue differs from the route table'
  const allowed = dead['RedriveAllowPolicy']
  const sources =
    isObject(allowed) && allowed['redrivePermission'] === 'byQueue' ? JSON.stringify(allowed['sourceQueueArns']) : ''
  if (!sources.includes(`:${name}"`)) yield 'the dead-letter queue does not allow its queue as a source'
  yield* faultsOfFunction(template, prefix, route, queueId)
  yield* faultsOfAlarms(template, prefix, route)
}

function* faultsOfFunction(template: Template, prefix: string, route: Route, queueId: string): Generator<string> {
  const name = `${prefix}${route.name}`
  const [functionId, properties] = find(template, 'AWS::Lambda::Function', (p) => p['FunctionName'] === name)
  if (functionId === undefined) return yield 'has no function'
  yield* expect('the function', properties, {
    Runtime: 'nodejs24.x',
    Architectures: ['arm64'],
    MemorySize: route.memoryMiB,
    Timeout: route.timeoutSeconds,
  })
  const hiddenSeconds = template.Resources[queueId]?.Properties?.['VisibilityTimeout']
  if (Number(hiddenSeconds) < MIN_VISIBILITY_FACTOR * Number(properties['Timeout']))
    yield `the visibility timeout is less than ${MIN_VISIBILITY_FACTOR} times the function's timeout`
  const mappings = ofType(template, 'AWS::Lambda::EventSourceMapping').filter(
    ([, p]) => targetOf(p['FunctionName']) === functionId,
  )
  if (mappings.length !== 1) yield `the function has ${mappings.length} event source mappings instead of one`
  const mapping = mappings[0]?.[1] ?? {}
  if (targetOf(mapping['EventSourceArn']) !== queueId) yield 'the event source of the function is another queue'
  yield* expect('the mapping', mapping, {
    BatchSize: 10,
    FunctionResponseTypes: ['ReportBatchItemFailures'],
    ScalingConfig: { MaximumConcurrency: route.maxConcurrency },
  })
  const [, logs] = find(template, 'AWS::Logs::LogGroup', (p) => p['LogGroupName'] === `/aws/lambda/${name}`)
  if (typeof logs['RetentionInDays'] !== 'number')
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
    const [id, alarm] = findAlarm(template, metric, of)
    const set = { Threshold: threshold, ComparisonOperator: 'GreaterThanThreshold' }
    if (id === undefined) yield `no alarm for ${metric}`
    else yield* expect(`the alarm for ${metric}`, alarm, set)
  }
}

/** Checks that dead-letter queues are drained, parked notifications cause an alarm, and replays know their queues. */
export function* checkReplays(template: Template, prefix: string): Generator<string> {
  const name = prefix + RELAY_ROUTES.replay.name
  for (const one of [name, `${prefix}api`]) {
    const [, lambda] = find(template, 'AWS::Lambda::Function', (p) => p['FunctionName'] === one)
    if (!JSON.stringify(lambda['Environment'] ?? {}).includes(`"ENIGMA_QUEUE_PREFIX":"${prefix}"`))
      yield `${one} does not know the queues: it has no ENIGMA_QUEUE_PREFIX`
  }
  for (const metric of ['ParkedNow', 'Expiring'])
    if (findAlarm(template, metric, name)[0] === undefined) yield `${name}: no alarm for ${metric}`
  const [id = ''] = find(template, 'AWS::Lambda::Function', (p) => p['FunctionName'] === name)
  const isMeant = (value: unknown) => JSON.stringify(value ?? '').includes(`"${id}"`)
  const [, rule] = find(template, 'AWS::Events::Rule', (p) => isMeant(p['Targets']))
  if (rule['State'] !== 'ENABLED') yield `${name} has no schedule, so dead letters stay where they are`
  const isPermitted = (p: Properties) => isMeant(p['FunctionName']) && p['Principal'] === 'events.amazonaws.com'
  if (find(template, 'AWS::Lambda::Permission', isPermitted)[0] === undefined)
    yield `${name} has no permission for invocations by its schedule`
}

/** Checks the alarms for a silent relay, gaps and parked notifications, and that the relay's policy is an output of the stack. */
export function* checkRelay(template: Template, prefix: string): Generator<string> {
  const { replay: _, ...ofRelay } = RELAY_ROUTES
  for (const [subType, route] of Object.entries(ofRelay)) {
    const queue = queueName(prefix, route)
    const [id, alarm] = findAlarm(template, 'NumberOfMessagesSent', queue)
    if (id === undefined) yield `the queue ${queue}, to which the relay sends, has no alarm`
    // SQS publishes no metric for an unused queue. A missing liveness message must therefore cause the alarm.
    else if (
      subType === 'alive' &&
      (alarm['TreatMissingData'] !== 'breaching' || alarm['ComparisonOperator'] !== 'LessThanThreshold')
    )
      yield `${id} does not go off when the relay sends nothing`
  }
  const output = template.Outputs?.['RelayPolicyArn']
  const [policyId] = find(template, 'AWS::IAM::ManagedPolicy', () => true)
  const given = isObject(output) && isObject(output['Value']) ? output['Value']['Ref'] : undefined
  if (policyId === undefined || given !== policyId) yield 'the policy of the relay is not an output of the stack'
}

/** Checks that operators can send commands to the relays, that the relays can receive them, and that an unread command causes an alarm. */
export function* checkCommands(template: Template, prefix: string): Generator<string> {
  const name = queueName(prefix, COMMAND_QUEUE)
  const [queueId, queue] = find(template, 'AWS::SQS::Queue', (p) => p['QueueName'] === name)
  if (queueId === undefined) return yield `the queue ${name}, which has the commands to the relays, does not exist`
  yield* expect(`the queue ${name}`, queue, {
    FifoQueue: true,
    DeduplicationScope: 'messageGroup',
    VisibilityTimeout: COMMAND_QUEUE.visibilitySeconds,
    MessageRetentionPeriod: COMMAND_QUEUE.retentionSeconds,
    SqsManagedSseEnabled: true,
  })
  const [alarmId, alarm] = findAlarm(template, 'ApproximateAgeOfOldestMessage', name)
  if (alarmId === undefined) yield `the queue ${name} has no alarm`
  else yield* expect(`the alarm of ${name}`, alarm, { Threshold: COMMAND_QUEUE.alarmAgeSeconds })
  const mayUse = (type: string, ofWhom: string, action: string): boolean =>
    ofType(template, type).some(([id, p]) => id === ofWhom && isAllowed(p, action, queueId))
  if (!mayUse('AWS::IAM::Role', 'ApiRole', 'sqs:SendMessage')) yield `the role of the API may not send to ${name}`
  for (const action of ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:ChangeMessageVisibility'])
    if (!mayUse('AWS::IAM::ManagedPolicy', 'RelayPolicy', action))
      yield `the policy of the relay has no ${action} on ${name}`
}

/** Returns true if a statement in these properties allows an action on a resource of the template. */
function isAllowed(properties: Properties, action: string, logicalId: string): boolean {
  for (const [, statement] of objectsIn(properties)) {
    const isFor = [statement['Resource']].flat().some((resource) => targetOf(resource) === logicalId)
    if (statement['Effect'] === 'Allow' && isFor && [statement['Action']].flat().includes(action)) return true
  }
  return false
}

/** Checks that each alarm has an action, a description, and an existing resource. */
export function* checkAlarms(template: Template): Generator<string> {
  const names = new Set(
    Object.values(template.Resources)
      .flatMap(({ Properties: p = {} }) => [p['QueueName'], p['FunctionName']])
      .filter((name) => typeof name === 'string'),
  )
  for (const [name, p] of ofType(template, 'AWS::CloudWatch::Alarm')) {
    if (!Array.isArray(p['AlarmActions']) || p['AlarmActions'].length === 0)
      yield `${name} has no alarm action, so it notifies nobody`
    const says = typeof p['AlarmDescription'] === 'string' ? p['AlarmDescription'] : ''
    if (says.length < 80 || says.length > 1024)
      yield `the description of ${name} must have 80 to 1024 characters and say what to do`
    const [dimension] = p['Dimensions'] as readonly { readonly Value: string }[]
    if (!names.has(dimension?.Value ?? '')) yield `${name} watches ${dimension?.Value}, which does not exist`
  }
}
