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

/** What serverless.yml takes from here. All of it is made from the route table. */
export function createStack(options: StackOptions) {
  const logGroups = [
    ...[...options.routes.map(logicalName), 'Api'].map((logical) => [`${logical}LogGroup`, kept(options.keep)]),
    // A deployment without `events` takes it away: left behind, it would be in the way of the next one with them.
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
      // The framework makes the log groups.
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

/** What a queue and its dead-letter queue have in common. */
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
 * The queue of each route and its dead-letter queue, and the one queue of commands to the relays. Which queue a dead-letter queue takes from is said by name and not by reference,
 * since each of the two names the other.
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

/** Lambda's pollers take up to so many messages at once; FIFO allows no more. Source: CreateEventSourceMapping in the Lambda API reference. */
const BATCH_SIZE = 10

/** How often dead letters are looked for. */
const DRAIN_SCHEDULE = 'rate(5 minutes)'

/** The API answers within this time (s), or not at all. */
const API_TIMEOUT_SECONDS = 29
const API_MEMORY_MIB = 512

/**
 * So long (s) lasts a stream of changes, and the function has a little more, for the last request to the read model. Lambda does not end an
 * invocation whose client has gone: a closed page holds its place until then. Source: "Response streaming" in the Lambda developer guide.
 */
const EVENTS_SECONDS = 60
const EVENTS_TIMEOUT_SECONDS = 70
/** It waits nearly all the time, and each second of it costs. */
const EVENTS_MEMORY_MIB = 256

/** The functions of serverless.yml: one for each route, fed by its queue, and the API behind a URL, and what streams changes behind another. */
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
      // Everybody can reach the URL: with a bound, a flood of it takes nothing from the functions of the screen pops.
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
      // One invocation for each stream: pages that are left open take nothing from other functions.
      reservedConcurrency: events,
      environment: {
        ...environment(options, PARAMETER_VARIABLES),
        ENIGMA_EVENTS_SECONDS: String(EVENTS_SECONDS),
        // Pages of the API's own origin ask here as well, and CloudFormation cannot tell it here: the API's function needs the address of this one.
        // A page can read only with a token that it has, since there are no cookies, and there is nothing to write.
        API_CORS_ORIGIN: '*',
      },
      url: { invokeMode: 'RESPONSE_STREAM' },
    },
  ]
  const all = [...ofRoutes, ofApi, ...(events === undefined ? [] : [ofEvents])]
  return Object.fromEntries(all) as Record<string, unknown>
}

/** Where changes are streamed; the address of a function ends with a slash. */
const EVENTS_URL = { 'Fn::Sub': '${EventsLambdaFunctionUrl.FunctionUrl}events' }

/** The bundle that the build made, and nothing else. */
const bundle = (name: string) => ({
  handler: `dist/functions/${name}/index.handler`,
  package: { patterns: ['!**', `dist/functions/${name}/**`] },
})

/** The variables of a function. Secrets are not among them, only where they are. */
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
