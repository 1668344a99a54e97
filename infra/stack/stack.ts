import { appFile } from '../../src/lambda/declarations.ts'
import {
  COMMAND_QUEUE,
  deadLetterQueueName,
  QUEUE_LIMITS,
  queueName,
  visibilitySeconds,
} from '../../src/protocol/index.ts'
import { createAlarms } from './alarms.ts'
import {
  API,
  arnOf,
  COMMANDS,
  EVENTS,
  functionKey,
  functionName,
  kept,
  logicalName,
  ownArn,
  PARAMETER_VARIABLES,
  parameterName,
  ref,
  stackName,
  STORE_PARAMETERS,
  type Resource,
  type Resources,
  type StackRoute,
} from './stack-routes.ts'
import type { StackOptions } from './options.ts'
import { createRelayPolicy, createRoles, isReplay, roleName } from './roles.ts'

/** Creates the parts of the stack that serverless.yml includes. All of them are derived from the route table. */
export function createStack(options: StackOptions) {
  const logGroups = [
    ...[...options.routes.map(logicalName), 'Api'].map((logical) => [`${logical}LogGroup`, kept(options.keep)]),
    // A deployment without `events` removes this log group. If it stayed, a later deployment with `events` could not create it.
    ...(options.events === undefined ? [] : [['EventsLogGroup', kept(false)]]),
  ]
  return {
    name: stackName(options.prefix),
    logRetentionDays: options.logRetentionDays,
    tracing: options.tracing,
    functions: createFunctions(options),
    resources: {
      Description: `enigma-relay: queues and functions for the notifications of Enigma diallers (${stackName(options.prefix)})`,
      Resources: {
        ...createQueues(options),
        ...createRoles(options),
        ...createRelayPolicy(options),
        ...createAlarms(options),
      },
      // The framework creates the log groups.
      extensions: Object.fromEntries(logGroups) as Record<string, ReturnType<typeof kept>>,
      Outputs: {
        QueuePrefix: { Description: 'ENIGMA_QUEUE_PREFIX of the relay', Value: options.prefix },
        Region: { Description: 'AWS_REGION of the relay', Value: ref('AWS::Region') },
        RelayPolicyArn: {
          Description: 'The managed policy for the credentials of the relay',
          Value: ref('RelayPolicy'),
        },
        AlarmTopicArn: { Description: 'The SNS topic of all alarms: subscribe to it', Value: ref('AlarmTopic') },
        ApiFunctionName: { Description: 'The function behind the read API', Value: options.prefix + API },
      },
    },
  }
}

/** The properties that a queue and its dead-letter queue share. */
const COMMON = {
  FifoQueue: true,
  DeduplicationScope: 'messageGroup',
  FifoThroughputLimit: 'perMessageGroupId',
  MaximumMessageSize: QUEUE_LIMITS.messageBytes,
  MessageRetentionPeriod: QUEUE_LIMITS.retentionSeconds,
  SqsManagedSseEnabled: true,
}

const queue = (keep: boolean, name: string, own: Resource['Properties']): Resource => ({
  Type: 'AWS::SQS::Queue',
  ...kept(keep),
  Properties: { QueueName: name, ...COMMON, ...own },
})

/**
 * Creates the queue and the dead-letter queue of each route, and the queue of commands to the relays. A dead-letter queue names its source
 * by ARN text and not by reference, because references in both directions would be a cycle.
 */
function createQueues({ prefix, routes, keep }: StackOptions): Resources {
  const ofRoute = (route: StackRoute): [string, Resource][] => {
    const dead = `${logicalName(route)}DeadLetterQueue`
    const redrive = { deadLetterTargetArn: arnOf(dead), maxReceiveCount: route.maxReceiveCount }
    const sources = { redrivePermission: 'byQueue', sourceQueueArns: [ownArn('sqs', queueName(prefix, route))] }
    const own = { VisibilityTimeout: visibilitySeconds(route), RedrivePolicy: redrive }
    return [
      [`${logicalName(route)}Queue`, queue(keep, queueName(prefix, route), own)],
      [dead, queue(keep, deadLetterQueueName(prefix, route), { RedriveAllowPolicy: sources })],
    ]
  }
  const ofCommands = queue(keep, queueName(prefix, COMMAND_QUEUE), {
    VisibilityTimeout: COMMAND_QUEUE.visibilitySeconds,
    MessageRetentionPeriod: COMMAND_QUEUE.retentionSeconds,
  })
  return { ...Object.fromEntries(routes.flatMap(ofRoute)), [COMMANDS]: ofCommands }
}

/** The number of messages that Lambda's pollers receive at once. 10 is the maximum for FIFO queues. Source: CreateEventSourceMapping in the Lambda API reference. */
const BATCH_SIZE = 10

/** The interval at which the dead-letter queues are drained. */
const DRAIN_SCHEDULE = 'rate(5 minutes)'

/** The time limit (s) of a request to the API. */
const API_TIMEOUT_SECONDS = 29
const API_MEMORY_MIB = 512

/**
 * The duration (s) of a stream of changes. The function has a little more time, for its last request to the read model. Lambda does not end an
 * invocation when its client disconnects, so the stream of a closed page counts until then. Source: "Response streaming" in the Lambda developer
 * guide.
 */
const EVENTS_SECONDS = 60
const EVENTS_TIMEOUT_SECONDS = 70
/** The function waits nearly all the time, and Lambda bills each second by memory. */
const EVENTS_MEMORY_MIB = 256

/** Creates the functions of serverless.yml: one for each route behind its queue, the API behind a URL, and the stream of changes behind another URL. */
function createFunctions(options: StackOptions): Readonly<Record<string, unknown>> {
  const { prefix, routes, corsOrigin, callLimitSeconds, timeZone, apiConcurrency, events } = options
  const { abandonReasons, abandonOf, abandonThreshold, missingMinutes } = options
  const ofSchedule = {
    ENIGMA_QUEUE_PREFIX: prefix,
    ENIGMA_CALL_LIMIT_SECONDS: String(callLimitSeconds),
    ENIGMA_MISSING_MINUTES: String(missingMinutes),
  }
  const ofRoutes = routes.map((route) => [
    functionKey(route),
    {
      ...bundle(route.name),
      name: functionName(prefix, route),
      description: `Handles ${route.name}: ${appFile(route)}`,
      role: roleName(logicalName(route)),
      memorySize: route.memoryMiB,
      timeout: route.timeoutSeconds,
      environment: {
        ...environment(options, [...STORE_PARAMETERS, ...(route.secrets ?? [])]),
        ...(isReplay(route) ? ofSchedule : {}),
        ...route.variables,
      },
      ...(route.vpc && { vpc: route.vpc }),
      events: [
        {
          sqs: {
            arn: arnOf(`${logicalName(route)}Queue`),
            batchSize: BATCH_SIZE,
            maximumConcurrency: route.maxConcurrency,
            functionResponseType: 'ReportBatchItemFailures',
          },
        },
        ...(isReplay(route) ? [{ schedule: DRAIN_SCHEDULE }] : []),
      ],
    },
  ])
  const ofApi = [
    API,
    {
      ...bundle(API),
      name: prefix + API,
      description: 'The API: functions/api.ts',
      role: roleName('Api'),
      memorySize: API_MEMORY_MIB,
      timeout: API_TIMEOUT_SECONDS,
      // Anybody can send requests to the URL. The limit keeps a flood of them from taking the concurrency of other functions.
      ...(apiConcurrency === undefined ? {} : { reservedConcurrency: apiConcurrency }),
      environment: {
        ...environment(options, PARAMETER_VARIABLES),
        ENIGMA_QUEUE_PREFIX: prefix,
        API_CORS_ORIGIN: corsOrigin,
        ENIGMA_CALL_LIMIT_SECONDS: String(callLimitSeconds),
        ENIGMA_TIME_ZONE: timeZone,
        ENIGMA_ABANDON_REASONS: abandonReasons,
        ENIGMA_ABANDON_OF: abandonOf,
        ENIGMA_ABANDON_THRESHOLD: abandonThreshold,
        ...(events === undefined ? {} : { ENIGMA_EVENTS_URL: EVENTS_URL }),
      },
      // Every request needs the bearer token, which the function checks.
      url: { invokeMode: 'RESPONSE_STREAM' },
    },
  ]
  const ofEvents = [
    EVENTS,
    {
      ...bundle(API),
      name: prefix + EVENTS,
      description: 'Streams changes: GET /events of functions/api.ts',
      role: roleName('Events'),
      memorySize: EVENTS_MEMORY_MIB,
      timeout: EVENTS_TIMEOUT_SECONDS,
      // Each stream is one invocation. The limit keeps open pages from taking the concurrency of other functions.
      reservedConcurrency: events,
      environment: {
        ...environment(options, PARAMETER_VARIABLES),
        ENIGMA_EVENTS_SECONDS: String(EVENTS_SECONDS),
        // Pages of the API's own origin use this URL too, but CloudFormation cannot set that origin here: the API's function depends on this URL,
        // and a reference back would be a cycle. Any origin is safe: a page needs a token, there are no cookies, and nothing can be written.
        API_CORS_ORIGIN: '*',
      },
      url: { invokeMode: 'RESPONSE_STREAM' },
    },
  ]
  const all = [...ofRoutes, ofApi, ...(events === undefined ? [] : [ofEvents])]
  return Object.fromEntries(all) as Record<string, unknown>
}

/** The address of the stream of changes. The URL of a function ends with a slash. */
const EVENTS_URL = { 'Fn::Sub': '${EventsLambdaFunctionUrl.FunctionUrl}events' }

/** Packages the function's bundle, and nothing else. */
const bundle = (name: string) => ({
  handler: `dist/functions/${name}/index.handler`,
  package: { patterns: ['!**', `dist/functions/${name}/**`] },
})

/** Returns the variables of a function. They contain the names of parameters with secrets, never the secrets. */
function environment(
  { prefix, parkedDays, binDays }: StackOptions,
  parameters: readonly string[],
): Record<string, string> {
  return {
    NODE_OPTIONS: '--enable-source-maps',
    ENIGMA_STORE_PREFIX: `${stackName(prefix)}:`,
    ENIGMA_PARKED_DAYS: String(parkedDays),
    ENIGMA_BIN_DAYS: String(binDays),
    ...Object.fromEntries(parameters.map((variable) => [`${variable}_PARAMETER`, parameterName(prefix, variable)])),
  }
}
