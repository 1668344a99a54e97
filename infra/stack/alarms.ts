import { COMMAND_QUEUE, deadLetterQueueName, queueName, RELAY_ROUTES, type Route } from '../../src/protocol/index.ts'
import { METRICS_NAMESPACE } from '../../src/lambda/cloudwatch-metrics.ts'
import { API, EVENTS, logicalName, ref, stackName, type Resource, type Resources } from './stack-routes.ts'
import type { StackOptions } from './options.ts'
import { isReplay } from './roles.ts'

type Alarm = {
  readonly name: string
  /** The description of the alarm: what happened, and what to do. */
  readonly says: string
  readonly metric: readonly [namespace: 'AWS/SQS' | 'AWS/Lambda' | typeof METRICS_NAMESPACE, name: string]
  readonly of: string
  /** The statistic of the metric. Default: the sum. */
  readonly statistic?: 'Maximum'
  /** The alarm goes off above this value. Default 0. */
  readonly above?: number
  /** The alarm goes off below this value. Replaces `above`. */
  readonly below?: number
  /** Number of consecutive minutes. Default 1. */
  readonly minutes?: number
  /** The number of these minutes in which the threshold must be crossed. Default: all. */
  readonly ofThem?: number
  /** Whether missing data leave the alarm as it is. Default: missing data cause the alarm if `below` is set, else they end it. */
  readonly missing?: 'ignore'
  /** Whether the end of the alarm is also announced. Default: only with `below`. */
  readonly tellsEnd?: boolean
}

const TOPIC = 'AlarmTopic'

/** Creates all alarms, and the one topic to which they are published. */
export function createAlarms(options: StackOptions): Resources {
  const { prefix, routes, alarmEmail, apiConcurrency, events } = options
  const subscription = alarmEmail === '' ? {} : { Subscription: [{ Protocol: 'email', Endpoint: alarmEmail }] }
  return {
    [TOPIC]: {
      Type: 'AWS::SNS::Topic',
      Properties: { TopicName: `${stackName(prefix)}-alarms`, DisplayName: stackName(prefix), ...subscription },
    },
    ...Object.fromEntries(routes.flatMap((route) => routeAlarms(prefix, route))),
    ...Object.fromEntries([
      ...functionAlarms('Api', prefix + API, apiConcurrency),
      ...relayAlarms(prefix),
      ...parkedAlarms(prefix),
      missingAlarm(prefix),
      faultsAlarm('Api', prefix + API, 'The read API answered with 5xx for five minutes.'),
      ...(events === undefined ? [] : eventsAlarms(prefix + EVENTS)),
    ]),
  }
}

const REPLAY =
  'GET /parked lists each entry with its reason. Fix the cause, then send the entries again with POST /replays (docs/reliability.md).'

function routeAlarms(prefix: string, route: Route): [string, Resource][] {
  const [logical, queue, dead] = [logicalName(route), queueName(prefix, route), deadLetterQueueName(prefix, route)]
  return [
    alarm(`${logical}ParkedAlarm`, {
      name: `${prefix}${route.name}-parked`,
      says: isReplay(route)
        ? `SQS moved messages to dead-letter queues, and ${prefix}${route.name} parked their notifications: the read model was unreachable for hours, or a function crashed on each attempt. ${REPLAY}`
        : `${prefix}${route.name} could not handle some notifications and parked them. ${REPLAY}`,
      metric: [METRICS_NAMESPACE, 'Parked'],
      of: prefix + route.name,
    }),
    alarm(`${logical}DeadLetterAlarm`, {
      name: `${prefix}${route.name}-dead-letters`,
      says:
        `Messages have been in ${dead} for more than ten minutes, because they cannot be parked. Check the log of ` +
        `${prefix}${RELAY_ROUTES.replay.name} for the code functions.drain.failed. SQS keeps the messages for 14 days.`,
      metric: ['AWS/SQS', 'ApproximateNumberOfMessagesVisible'],
      of: dead,
      statistic: 'Maximum',
      // Each drain hides the messages for a minute, so the metric does not count them in every minute.
      minutes: 15,
      ofThem: 11,
    }),
    alarm(`${logical}AgeAlarm`, {
      name: `${prefix}${route.name}-old`,
      says:
        `A message has waited in ${queue} for more than ${route.alarmAgeSeconds} s. Nothing is lost, but ${route.maxAgeMs === undefined ? 'the read model is out of date' : 'screen pops are late or missing'}. ` +
        `Check the log of ${prefix}${route.name} for the code adapter.commit.failed (Upstash is unreachable or over its limit), and check its throttles and its concurrency.`,
      metric: ['AWS/SQS', 'ApproximateAgeOfOldestMessage'],
      of: queue,
      statistic: 'Maximum',
      above: route.alarmAgeSeconds,
    }),
    ...functionAlarms(logical, prefix + route.name),
  ]
}

function functionAlarms(logical: string, name: string, bound?: number): [string, Resource][] {
  return [
    alarm(`${logical}ErrorsAlarm`, {
      name: `${name}-errors`,
      says:
        `${name} crashed, timed out or did not start. SQS delivers its messages again. Check its log: a code functions.parameters.… means that a ` +
        'parameter is missing, or that the role of the function may not read it. If the errors began with a deployment, roll back (docs/deploy.md).',
      metric: ['AWS/Lambda', 'Errors'],
      of: name,
    }),
    alarm(`${logical}ThrottlesAlarm`, {
      name: `${name}-throttles`,
      says:
        bound === undefined
          ? `Lambda throttled ${name} for three minutes: the account has no concurrency left. Request a higher quota (Service Quotas, Lambda, Concurrent executions), or lower maxConcurrency of a less important route.`
          : `Callers of ${name} received 429 for three minutes, because there were more than ${bound} concurrent requests. A flood of requests does not affect the other functions. If the requests come from your own applications, deploy with a larger apiConcurrency.`,
      metric: ['AWS/Lambda', 'Throttles'],
      of: name,
      minutes: 3,
    }),
  ]
}

const faultsAlarm = (logical: string, name: string, says: string): [string, Resource] =>
  alarm(`${logical}FaultsAlarm`, {
    name: `${name}-faults`,
    says: `${says} GET /health shows whether Upstash answers; the log of ${name} has the details.`,
    metric: ['AWS/Lambda', 'Url5xxCount'],
    of: name,
    minutes: 5,
  })

/** Creates the alarms of the stream of changes. Throttling causes none: Lambda throttles streams above the limit, and their clients then poll. */
const eventsAlarms = (name: string): [string, Resource][] => [
  alarm('EventsErrorsAlarm', {
    name: `${name}-errors`,
    says:
      `${name} crashed, timed out or did not start. Clients poll the API meanwhile. Check its log: a code functions.parameters.… means that a ` +
      'parameter is missing, or that the role of the function may not read it. If the errors began with a deployment, roll back (docs/deploy.md).',
    metric: ['AWS/Lambda', 'Errors'],
    of: name,
  }),
  faultsAlarm(
    'Events',
    name,
    'The function that streams changes answered with 5xx for five minutes. Clients poll the API meanwhile.',
  ),
]

/** Creates the alarms on the figures that the replay function counts every five minutes. */
function parkedAlarms(prefix: string): [string, Resource][] {
  const counted = { of: `${prefix}${RELAY_ROUTES.replay.name}`, minutes: 15, ofThem: 1 }
  return [
    alarm('ParkedNotEmptyAlarm', {
      ...counted,
      name: `${prefix}parked-not-empty`,
      says: `Functions or the relay have parked notifications. This alarm ends within 20 minutes after all of them were sent again or deleted. ${REPLAY}`,
      metric: [METRICS_NAMESPACE, 'ParkedNow'],
      statistic: 'Maximum',
      // While the read model cannot be reached, the number is unknown.
      missing: 'ignore',
      tellsEnd: true,
    }),
    alarm('ParkedExpiringAlarm', {
      ...counted,
      name: `${prefix}parked-expiring`,
      says: 'Some parked notifications will be deleted within three days. GET /parked/groups shows their causes and when the first of them expire. docs/reliability.md describes how to send them again.',
      metric: [METRICS_NAMESPACE, 'Expiring'],
    }),
  ]
}

/** Creates the alarm on calls without a CDR, which the replay function counts too. */
const missingAlarm = (prefix: string): [string, Resource] =>
  alarm('MissingCdrsAlarm', {
    name: `${prefix}missing-cdrs`,
    says:
      'Agents have left calls whose CDR has not arrived, although a relay consumes the list of CDRs. GET /missing and the page Health of the console list the calls. ' +
      'Check that no other program takes items from the list (enigma-relay doctor), that the queue of campaigns-cdr is empty, and that no CDR is parked (docs/missing.md).',
    metric: [METRICS_NAMESPACE, 'Missing'],
    of: `${prefix}${RELAY_ROUTES.replay.name}`,
    minutes: 15,
    ofThem: 1,
  })

/** Creates the alarms on the queues of the relay's notices and of the commands to relays. */
function relayAlarms(prefix: string): [string, Resource][] {
  const queueOf = (subType: 'alive' | 'gap' | 'parked') => queueName(prefix, RELAY_ROUTES[subType])
  return [
    alarm('RelaySilentAlarm', {
      name: `${prefix}relay-silent`,
      says:
        'No relay has reported for five minutes that it is ready: it is not running, does not hear the dialler, or cannot reach SQS. On the host of the relay, run ' +
        'curl 127.0.0.1:8081/readyz, check the log, and run enigma-relay doctor. Meanwhile lists keep their items, but Pub/Sub messages may be missed.',
      metric: ['AWS/SQS', 'NumberOfMessagesSent'],
      of: queueOf('alive'),
      below: 1,
      minutes: 5,
    }),
    alarm('RelayGapAlarm', {
      name: `${prefix}relay-gap`,
      says: 'A relay could not hear Pub/Sub for a time span, or had to discard Pub/Sub notifications. GET /gaps lists the time and the cause. States of agents are unsure until they are heard again. docs/reliability.md has the remedy for each cause.',
      metric: ['AWS/SQS', 'NumberOfMessagesSent'],
      of: queueOf('gap'),
    }),
    alarm('RelayCommandsAgeAlarm', {
      name: `${prefix}${COMMAND_QUEUE.name}-old`,
      says:
        'An operator command (to retry or delete parked notifications of the relay) has waited for more than ten minutes: no relay of its source is running or takes ' +
        'commands (ENIGMA_COMMANDS, the policy of its credentials), or each attempt fails. Check the log of the relay for the codes relay.commands.…. The command expires after four hours; its entries stay parked.',
      metric: ['AWS/SQS', 'ApproximateAgeOfOldestMessage'],
      of: queueName(prefix, COMMAND_QUEUE),
      statistic: 'Maximum',
      above: COMMAND_QUEUE.alarmAgeSeconds,
    }),
    alarm('RelayParkedAlarm', {
      name: `${prefix}relay-parked`,
      says: 'The relay parked a notification that SQS does not accept, or somebody retried or dropped a parked notification. GET /parked?from=relay and enigma-relay parked list the parked notifications. POST /replays sends them again (docs/reliability.md).',
      metric: ['AWS/SQS', 'NumberOfMessagesSent'],
      of: queueOf('parked'),
    }),
  ]
}

function alarm(logicalId: string, { metric: [Namespace, MetricName], minutes = 1, ...own }: Alarm): [string, Resource] {
  const { name, says, of, statistic = 'Sum', above = 0, below, ofThem = minutes } = own
  const { tellsEnd = below !== undefined, missing = below === undefined ? 'notBreaching' : 'breaching' } = own
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
        DatapointsToAlarm: ofThem,
        Threshold: below ?? above,
        ComparisonOperator: below === undefined ? 'GreaterThanThreshold' : 'LessThanThreshold',
        TreatMissingData: missing,
        AlarmActions: [ref(TOPIC)],
        // People who were told that the relay is silent are also told when it sends again.
        ...(tellsEnd ? { OKActions: [ref(TOPIC)] } : {}),
      },
    },
  ]
}
