import { RELAY_ROUTES, type Route } from '../../src/protocol/index.ts'
import {
  API,
  arnOf,
  COMMANDS,
  EVENTS,
  functionName,
  logicalName,
  ownArn,
  parameterName,
  PARAMETER_VARIABLES,
  STORE_PARAMETERS,
  type Resource,
  type Resources,
} from './stack-routes.ts'
import type { StackOptions } from './options.ts'

const allow = (Action: readonly string[], Resource: unknown) => ({ Effect: 'Allow', Action, Resource }) as const

type Statement = ReturnType<typeof allow>

/** Returns the logical name of a function's role. */
export const roleName = (logical: string): string => `${logical}Role`

/** Creates a role for each function, with only the permissions that it needs. */
export function createRoles(options: StackOptions): Resources {
  const { prefix, routes } = options
  const ofRoutes = routes.map((route): [string, Resource] => [
    roleName(logicalName(route)),
    role([
      ...common(options, functionName(prefix, route), [...STORE_PARAMETERS, ...(route.secrets ?? [])]),
      allow(['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes', ...ADAPTER], queueArn(route)),
      // A replay sends to any queue. The drain reads the dead-letter queues.
      ...(isReplay(route)
        ? [
            allow(['sqs:SendMessage', 'sqs:GetQueueUrl'], routes.map(queueArn)),
            allow(['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueUrl'], routes.map(deadLetterArn)),
          ]
        : []),
      ...(route.vpc === undefined ? [] : [allow(IN_A_VPC, '*')]),
      ...(route.statements ?? []).map(({ actions, resources }) => allow(actions, resources)),
    ]),
  ])
  const ofApi: [string, Resource] = [
    roleName('Api'),
    role([
      ...common(options, prefix + API, PARAMETER_VARIABLES),
      // `GET /queues` returns the number of messages in each queue.
      allow(
        ['sqs:GetQueueUrl', 'sqs:GetQueueAttributes'],
        [...routes.flatMap((route) => [queueArn(route), deadLetterArn(route)]), arnOf(COMMANDS)],
      ),
      allow(['sqs:SendMessage'], [queueArn(RELAY_ROUTES.replay), arnOf(COMMANDS)]),
    ]),
  ]
  // The function that streams changes only reads the read model.
  const ofEvents: [string, Resource] = [roleName('Events'), role(common(options, prefix + EVENTS, PARAMETER_VARIABLES))]
  return Object.fromEntries([...ofRoutes, ofApi, ...(options.events === undefined ? [] : [ofEvents])])
}

/** The actions of the adapter on a function's queue, besides those of Lambda's pollers. */
const ADAPTER = ['sqs:GetQueueUrl', 'sqs:ChangeMessageVisibility']

/** Lambda needs these actions to attach a function to a VPC. EC2 supports no narrower resource. Source: AWSLambdaVPCAccessExecutionRole. */
const IN_A_VPC = ['ec2:CreateNetworkInterface', 'ec2:DescribeNetworkInterfaces', 'ec2:DeleteNetworkInterface']

/** Whether a route is that of the function that replays parked notifications and drains dead-letter queues. */
export const isReplay = ({ name }: Route): boolean => name === RELAY_ROUTES.replay.name

const queueArn = (route: Route) => arnOf(`${logicalName(route)}Queue`)
const deadLetterArn = (route: Route) => arnOf(`${logicalName(route)}DeadLetterQueue`)

function common(
  { prefix, kmsKeyArn, tracing }: StackOptions,
  name: string,
  parameters: readonly string[],
): Statement[] {
  return [
    allow(['logs:CreateLogStream', 'logs:PutLogEvents'], ownArn('logs', `log-group:/aws/lambda/${name}:*`)),
    // X-Ray supports no narrower resource. Source: Service Authorization Reference, actions of AWS X-Ray.
    ...(tracing ? [allow(['xray:PutTraceSegments', 'xray:PutTelemetryRecords'], '*')] : []),
    allow(
      ['ssm:GetParameters'],
      parameters.map((one) => ownArn('ssm', `parameter${parameterName(prefix, one)}`)),
    ),
    ...(kmsKeyArn === '' ? [] : [allow(['kms:Decrypt'], kmsKeyArn)]),
  ]
}

const policy = (Statement: readonly unknown[]) => ({ Version: '2012-10-17', Statement })

const role = (statements: readonly Statement[]): Resource => ({
  Type: 'AWS::IAM::Role',
  Properties: {
    AssumeRolePolicyDocument: policy([
      { Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' }, Action: 'sts:AssumeRole' },
    ]),
    Policies: [{ PolicyName: 'own', PolicyDocument: policy(statements) }],
  },
})

/** Creates the policy of the relay: it sends to the queues, reads their attributes, and receives commands of operators. */
export function createRelayPolicy({ routes }: StackOptions): Resources {
  // The relay sends no steps of replays, but `enigma-relay doctor` checks every queue and its dead-letter queue.
  const statements = [
    allow(
      ['sqs:SendMessage', 'sqs:GetQueueUrl', 'sqs:GetQueueAttributes'],
      routes.filter((route) => !isReplay(route)).map(queueArn),
    ),
    allow(['sqs:GetQueueUrl', 'sqs:GetQueueAttributes'], [queueArn(RELAY_ROUTES.replay), ...routes.map(deadLetterArn)]),
    allow(
      [
        'sqs:ReceiveMessage',
        'sqs:DeleteMessage',
        'sqs:ChangeMessageVisibility',
        'sqs:GetQueueUrl',
        'sqs:GetQueueAttributes',
      ],
      arnOf(COMMANDS),
    ),
  ]
  const Description =
    'For the credentials of enigma-relay: allows it to send to the queues of this stack, to read their attributes, and to receive commands of operators.'
  const Properties = { Description, PolicyDocument: policy(statements) }
  return { RelayPolicy: { Type: 'AWS::IAM::ManagedPolicy', Properties } }
}
