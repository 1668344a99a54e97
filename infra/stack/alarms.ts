import { deadLetterQueueName, findRoute, queueName, RELAY_TYPE, ROUTES, type Route } from '../../src/protocol/index.ts'
import { API, functionName, logicalName, stackName } from './names.ts'
import type { StackOptions } from './options.ts'
import { ref, type Resource, type Resources } from './template.ts'

type Alarm = {
  readonly name: string
  /** What happened, and what to do. */
  readonly says: string
  readonly metric: readonly [namespace: 'AWS/SQS' | 'AWS/Lambda', name: string]
  readonly of: string
  readonly statistic: 'Sum' | 'Maximum'
  readonly when: readonly ['above' | 'below', number]
  /** Minutes in a row; default 1. */
  readonly minutes?: number
  /** Whether no figure at all is a reason for the alarm. */
  readonly silenceIsBad?: boolean
}

const TOPIC = 'AlarmTopic'

/** All alarms go to one topic; who is to hear of them subscribes to it. */
export function createAlarms(options: StackOptions): Resources {
  const { prefix, alarmEmail, apiConcurrency } = options
  const subscription = alarmEmail === '' ? {} : { Subscription: [{ Protocol: 'email', Endpoint: alarmEmail }] }
  return {
    [TOPIC]: {
      Type: 'AWS::SNS::Topic',
      Properties: { TopicName: `${stackName(prefix)}-alarms`, DisplayName: stackName(prefix), ...subscription },
    },
    ...Object.fromEntries(ROUTES.flatMap((route) => routeAlarms(prefix, route))),
    ...Object.fromEntries([
      ...functionAlarms('Api', prefix + API, apiConcurrency),
      ...relayAlarms(prefix),
      apiAlarm(prefix),
    ]),
  }
}

function routeAlarms(prefix: string, route: Route): [string, Resource][] {
  const [logical, queue, dead] = [logicalName(route), queueName(prefix, route), deadLetterQueueName(prefix, route)]
  return [
    alarm(`${logical}DeadLetterAlarm`, {
      name: `${prefix}${route.name}-dead-letters`,
      says:
        `Notifications were put aside in ${dead}: the function could not handle them. GET /parked of the read API shows each with its reason. ` +
        'Mend the cause, then start the redrive of this queue in the SQS console, or leave them: they are kept for 14 days.',
      metric: ['AWS/SQS', 'ApproximateNumberOfMessagesVisible'],
      of: dead,
      statistic: 'Maximum',
      when: ['above', 0],
    }),
    alarm(`${logical}AgeAlarm`, {
      name: `${prefix}${route.name}-old`,
      says:
        `A message has waited in ${queue} for more than ${route.alarmAgeSeconds} s. Nothing is lost, but ${route.maxAgeMs === undefined ? 'the read model is behind' : 'screen pops come late or not at all'}. ` +
        `Look at the log of ${functionName(prefix, route)} for the code adapter.commit.failed (Upstash away or over its limit?), at its throttles, and at its concurrency.`,
      metric: ['AWS/SQS', 'ApproximateAgeOfOldestMessage'],
      of: queue,
      statistic: 'Maximum',
      when: ['above', route.alarmAgeSeconds],
    }),
    ...functionAlarms(logical, functionName(prefix, route)),
  ]
}

function functionAlarms(logical: string, name: string, bound?: number): [string, Resource][] {
  return [
    alarm(`${logical}ErrorsAlarm`, {
      name: `${name}-errors`,
      says:
        `${name} crashed, ran out of time or did not start. Its messages come again by themselves. Look at its log: a code functions.parameters.… means that a ` +
        'parameter is missing or may not be read; an error after a deployment means: roll back (docs/deploy.md).',
      metric: ['AWS/Lambda', 'Errors'],
      of: name,
      statistic: 'Sum',
      when: ['above', 0],
    }),
    alarm(`${logical}ThrottlesAlarm`, {
      name: `${name}-throttles`,
      says:
        bound === undefined
          ? `Lambda refused to run ${name} for three minutes: the account's concurrency is used up. Ask AWS for more (Service Quotas, Lambda, Concurrent executions), or lower maxConcurrency of a route that matters less.`
          : `Callers of ${name} got 429 for three minutes: more than ${bound} requests at once. A flood takes nothing from the other functions; where these are your own applications, deploy with a larger apiConcurrency.`,
      metric: ['AWS/Lambda', 'Throttles'],
      of: name,
      statistic: 'Sum',
      when: ['above', 0],
      minutes: 3,
    }),
  ]
}

function apiAlarm(prefix: string): [string, Resource] {
  return alarm('ApiFaultsAlarm', {
    name: `${prefix}${API}-faults`,
    says: `The read API answered with 5xx for five minutes. GET /health says whether Upstash answers; the log of ${prefix}${API} has the rest.`,
    metric: ['AWS/Lambda', 'Url5xxCount'],
    of: prefix + API,
    statistic: 'Sum',
    when: ['above', 0],
    minutes: 5,
  })
}

/** What the relay itself says, by its own queues. */
function relayAlarms(prefix: string): [string, Resource][] {
  const queueOf = (subType: string) => queueName(prefix, findRoute(RELAY_TYPE, subType) as Route)
  return [
    alarm('RelaySilentAlarm', {
      name: `${prefix}relay-silent`,
      says:
        'No relay has said for five minutes that it is ready: it does not run, does not hear the dialler, or cannot reach SQS. On its host: ' +
        'curl 127.0.0.1:8081/readyz, then its log, then enigma-relay doctor. Lists keep what comes meanwhile; PubSub is not heard.',
      metric: ['AWS/SQS', 'NumberOfMessagesSent'],
      of: queueOf('alive'),
      statistic: 'Sum',
      when: ['below', 1],
      minutes: 5,
      silenceIsBad: true,
    }),
    alarm('RelayGapAlarm', {
      name: `${prefix}relay-gap`,
      says: 'PubSub of the dialler was not heard for a while, or what was heard was given up. GET /gaps says when and why; agents are unsure until they are heard again. docs/reliability.md says what to do for each cause.',
      metric: ['AWS/SQS', 'NumberOfMessagesSent'],
      of: queueOf('gap'),
      statistic: 'Sum',
      when: ['above', 0],
    }),
    alarm('RelayParkedAlarm', {
      name: `${prefix}relay-parked`,
      says: 'The relay put something aside that SQS does not take, or somebody took it from there. GET /parked?from=relay and enigma-relay parked show it.',
      metric: ['AWS/SQS', 'NumberOfMessagesSent'],
      of: queueOf('parked'),
      statistic: 'Sum',
      when: ['above', 0],
    }),
  ]
}

function alarm(
  logicalId: string,
  {
    name,
    says,
    metric: [Namespace, MetricName],
    of,
    statistic,
    when: [side, threshold],
    minutes = 1,
    silenceIsBad = false,
  }: Alarm,
): [string, Resource] {
  return [
    logicalId,
    {
      Type: 'AWS::CloudWatch::Alarm',
      Properties: {
        AlarmName: name,
        AlarmDescription: says,
        Namespace,
        MetricName,
        Dimensions: [{ Name: Namespace === 'AWS/SQS' ? 'QueueName' : 'FunctionName', Value: of }],
        Statistic: statistic,
        Period: 60,
        EvaluationPeriods: minutes,
        Threshold: threshold,
        ComparisonOperator: side === 'above' ? 'GreaterThanThreshold' : 'LessThanThreshold',
        TreatMissingData: silenceIsBad ? 'breaching' : 'notBreaching',
        AlarmActions: [ref(TOPIC)],
        // Whoever was told that the relay is silent is told when it speaks again.
        ...(silenceIsBad ? { OKActions: [ref(TOPIC)] } : {}),
      },
    },
  ]
}
