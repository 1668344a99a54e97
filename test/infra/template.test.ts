import { unzipSync } from 'fflate'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { checkTemplate } from '../../infra/check/check-template.ts'
import { logicalName } from '../../infra/stack/stack-routes.ts'
import { COMMAND_QUEUE, deadLetterQueueName, queueName } from '../../src/protocol/index.ts'
import { usePackaged } from '../support/packaged.ts'
import { withEnv } from '../support/env.ts'
import { ROUTES } from '../support/routes.ts'

const PREFIX = 'acme-eu-'
const STACK = { prefix: PREFIX, routes: ROUTES.all, apiConcurrency: undefined, events: undefined }
const STREAMING = { ...STACK, apiConcurrency: 20, events: 5 }
const CANARY = 'c4nary0a8f3e2d1b5c6f7a8e9d0b1c2d3e4f5a6b'
// The values of the machine's variables must not be in the template.
const { folder, template } = await withEnv({ UPSTASH_REDIS_REST_TOKEN: CANARY, API_TOKEN: CANARY }, () =>
  usePackaged(PREFIX),
)
const faults = checkTemplate(template, STACK)
// The same with streams of changes.
const streaming = (await usePackaged(PREFIX, ['apiConcurrency=20', 'events=5'])).template

type Part = { Type: string; Properties: Record<string, unknown>; DeletionPolicy?: string; UpdateReplacePolicy?: string }

type Whole = { Resources: Record<string, Part>; Outputs: Record<string, unknown> }

/** The faults of the template with one thing changed. */
function withChange(
  change: (resources: Record<string, Part>, whole: Whole) => void,
  [of, stack]: readonly [typeof template, typeof STACK | typeof STREAMING] = [template, STACK],
): string[] {
  const copy = structuredClone(of) as unknown as Whole
  change(copy.Resources, copy)
  return checkTemplate(copy, stack)
}
const part = (resources: Record<string, Part>, name: string): Part => resources[name] as Part
const all = (type: string) => Object.entries(template.Resources).filter(([, { Type }]) => Type === type)

test('the packaged template has no faults, and every name begins with the prefix', () => {
  expect(faults).toEqual([])
  expect(
    all('AWS::SQS::Queue')
      .map(([, { Properties }]) => String(Properties?.['QueueName']))
      .toSorted(),
  ).toEqual(
    [
      queueName(PREFIX, COMMAND_QUEUE),
      ...ROUTES.all.flatMap((route) => [queueName(PREFIX, route), deadLetterQueueName(PREFIX, route)]),
    ].toSorted(),
  )
  const names = Object.values(template.Resources).flatMap(({ Properties: p = {} }) =>
    [p['FunctionName'], p['AlarmName'], p['TopicName'], p['LogGroupName']].filter((name) => typeof name === 'string'),
  )
  expect(names.filter((name) => !name.replace('/aws/lambda/', '').startsWith(PREFIX))).toEqual([])
  expect(names.length).toBeGreaterThan(80)
})

test('a long prefix with digits and an address with digits are not reported as secrets', () => {
  // As another prefix would have made it.
  const prefix = 'callcentre2-eu-west-1-production-'
  const other = JSON.parse(
    JSON.stringify(template).replaceAll(PREFIX, prefix).replaceAll('acme-eu', prefix.slice(0, -1)),
  ) as { Resources: Record<string, Part> }
  part(other.Resources, 'AlarmTopic').Properties['Subscription'] = [
    { Protocol: 'email', Endpoint: 'enigma-production-0a8f3e2d1b5c6f7a8e9d@acme.pagerduty.example' },
  ]
  expect(checkTemplate(other, { ...STACK, prefix })).toEqual([])
})

test('only queues and log groups are kept when the stack is removed, and none when its creation fails', () => {
  const kept = Object.entries(template.Resources)
    .filter(([, { DeletionPolicy }]) => DeletionPolicy === 'RetainExceptOnCreate')
    .map(([name]) => name)
  expect(Object.values(template.Resources).filter(({ DeletionPolicy }) => DeletionPolicy === 'Retain')).toEqual([])
  expect(kept.toSorted()).toEqual(
    [...all('AWS::SQS::Queue'), ...all('AWS::Logs::LogGroup')].map(([name]) => name).toSorted(),
  )
})

test('the stack exports nothing, so that two of one stage stand side by side', () => {
  expect(JSON.stringify(template.Outputs)).not.toContain('Export')
  expect(Object.keys(template.Outputs ?? {})).toEqual(
    expect.arrayContaining(['QueuePrefix', 'RelayPolicyArn', 'AlarmTopicArn', 'ApiLambdaFunctionUrl']),
  )
})

test("the relay may only send to the stack's queues, read their attributes and receive commands", () => {
  const { PolicyDocument } = (template.Resources['RelayPolicy'] as { Properties: unknown }).Properties as {
    PolicyDocument: { Statement: { Action: string[]; Resource: unknown }[] }
  }
  expect(PolicyDocument.Statement.map(({ Action, Resource }) => [Action, [Resource].flat().length])).toEqual([
    [['sqs:SendMessage', 'sqs:GetQueueUrl', 'sqs:GetQueueAttributes'], ROUTES.all.length - 1],
    [['sqs:GetQueueUrl', 'sqs:GetQueueAttributes'], ROUTES.all.length + 1],
    [
      [
        'sqs:ReceiveMessage',
        'sqs:DeleteMessage',
        'sqs:ChangeMessageVisibility',
        'sqs:GetQueueUrl',
        'sqs:GetQueueAttributes',
      ],
      1,
    ],
  ])
})

test('the template and the artefacts contain no secret; each artefact is a module and its map, and the console for the API', async () => {
  expect(JSON.stringify(template)).not.toContain(CANARY)
  for (const [, { Properties: p = {} }] of all('AWS::Lambda::Function')) {
    const zip = String((p['Code'] as { S3Key: string }).S3Key.split('/').at(-1))
    const files = unzipSync(await readFile(join(folder, zip)))
    const module = String(p['Handler']).replace(/\.handler$/, '.mjs')
    const beside = Object.keys(files).filter((file) => file !== module && file !== `${module}.map`)
    const { [`${dirname(module)}/console/files.json`]: table } = files
    expect([zip, table !== undefined]).toEqual([zip, dirname(module).endsWith('/api')])
    const names = table === undefined ? [] : Object.keys(JSON.parse(Buffer.from(table).toString()) as object)
    const packed = names.flatMap((name) => [name, `${name}.br`, `${name}.gz`])
    const known = [...packed, 'files.json'].map((name) => `${dirname(module)}/console/${name}`)
    expect(beside.filter((file) => !known.includes(file))).toEqual([])
    expect(names.filter((name) => files[`${dirname(module)}/console/${name}`] === undefined)).toEqual([])
    for (const bytes of Object.values(files)) expect(Buffer.from(bytes).includes(CANARY)).toBe(false)
  }
})

test.each<[string, RegExp, Parameters<typeof withChange>[0]]>([
  ['a route without its queue', /campaigns-cdr: has no queue/, (r) => void delete r['CampaignsCdrQueue']],
  [
    'a queue without encryption',
    /agents-call: the queue has SqsManagedSseEnabled/,
    (r) => void (part(r, 'AgentsCallQueue').Properties['SqsManagedSseEnabled'] = false),
  ],
  [
    'a wrong retention',
    /agents-call: the dead-letter queue has MessageRetentionPeriod/,
    (r) => void (part(r, 'AgentsCallDeadLetterQueue').Properties['MessageRetentionPeriod'] = 60),
  ],
  [
    'a dead-letter queue without a redrive allow policy',
    /other: the dead-letter queue does not allow/,
    (r) => void delete part(r, 'OtherDeadLetterQueue').Properties['RedriveAllowPolicy'],
  ],
  [
    'a wrong number of attempts',
    /the redrive policy of the queue differs/,
    (r) =>
      void ((part(r, 'OtherQueue').Properties['RedrivePolicy'] as { maxReceiveCount: number }).maxReceiveCount = 1),
  ],
  [
    'a timeout that the queue does not cover',
    /less than 6 times/,
    (r) => void (part(r, 'OtherLambdaFunction').Properties['Timeout'] = 31),
  ],
  [
    'a function without an event source mapping',
    /agents-stats: the function has 0 event source mappings/,
    (r) => void delete r['AgentsStatsEventSourceMappingSQSAgentsStatsQueue'],
  ],
  [
    'a mapping that fails whole batches',
    /the mapping has FunctionResponseTypes/,
    (r) => void delete part(r, 'AgentsStatsEventSourceMappingSQSAgentsStatsQueue').Properties['FunctionResponseTypes'],
  ],
  [
    'a log group without retention',
    /the log group of the function has no retention/,
    (r) => void delete part(r, 'OtherLogGroup').Properties['RetentionInDays'],
  ],
  [
    'a missing alarm',
    /agents-call: no alarm for ApproximateAgeOfOldestMessage/,
    (r) => void delete r['AgentsCallAgeAlarm'],
  ],
  [
    'no queue for commands',
    /the queue acme-eu-relay-commands\.fifo, .* does not exist/,
    (r) => void delete r['RelayCommandsQueue'],
  ],
  [
    'no alarm for commands',
    /the queue acme-eu-relay-commands\.fifo has no alarm/,
    (r) => void delete r['RelayCommandsAgeAlarm'],
  ],
  [
    'an API that may not send commands',
    /the role of the API may not send to acme-eu-relay-commands\.fifo/,
    (r) => {
      const statements = statementsOf(part(r, 'ApiRole')) as Statement[]
      const sending = statements.findIndex(({ Action }) => Action.includes('sqs:SendMessage'))
      statements.splice(sending, 1)
    },
  ],
  [
    'a relay that may not take commands',
    /the policy of the relay has no sqs:ReceiveMessage on acme-eu-relay-commands\.fifo/,
    (r) => void (part(r, 'RelayPolicy').Properties['PolicyDocument'] as { Statement: unknown[] }).Statement.pop(),
  ],
  [
    'an alarm with a wrong threshold',
    /the alarm for ApproximateAgeOfOldestMessage has Threshold 60/,
    (r) => void (part(r, 'AgentsCallAgeAlarm').Properties['Threshold'] = 60),
  ],
  [
    'an alarm without an action',
    /RelaySilentAlarm .*notifies nobody/,
    (r) => void (part(r, 'RelaySilentAlarm').Properties['AlarmActions'] = []),
  ],
  [
    'an alarm without a useful description',
    /the description of RelayGapAlarm/,
    (r) => void (part(r, 'RelayGapAlarm').Properties['AlarmDescription'] = 'gap'),
  ],
  [
    'a right on everything',
    /allows sqs:SendMessage on every resource/,
    (r) =>
      void (statementsOf(part(r, 'OtherRole'))[0] = { Effect: 'Allow', Action: ['sqs:SendMessage'], Resource: '*' }),
  ],
  [
    'all rights',
    /allows sqs:\*/,
    (r) =>
      void (statementsOf(part(r, 'OtherRole'))[0] = {
        Effect: 'Allow',
        Action: ['sqs:*'],
        Resource: ['arn:aws:sqs:eu-west-1:1:x'],
      }),
  ],
  [
    'two functions with one role',
    /have the same role/,
    (r) => void (part(r, 'OtherLambdaFunction').Properties['Role'] = part(r, 'ApiLambdaFunction').Properties['Role']),
  ],
  [
    'a reserved concurrency that the deployment does not set',
    /the read API has a reserved concurrency of 5, but the deployment sets undefined/,
    (r) => void (part(r, 'ApiLambdaFunction').Properties['ReservedConcurrentExecutions'] = 5),
  ],
  [
    'a reserved concurrency of another function',
    /OtherLambdaFunction reserves concurrency/,
    (r) => void (part(r, 'OtherLambdaFunction').Properties['ReservedConcurrentExecutions'] = 5),
  ],
  [
    'a secret',
    /looks like a secret in plain text/,
    (r) => void (variablesOf(part(r, 'ApiLambdaFunction'))['API_TOKEN'] = 'x'),
  ],
  [
    'a value that looks like a token',
    /holds what looks like a token/,
    (r) => void (variablesOf(part(r, 'ApiLambdaFunction'))['OTHER'] = CANARY),
  ],
  [
    'a reference to an unknown resource',
    /Ref of Nobody, which does not exist/,
    (r) => void (part(r, 'OtherLambdaFunction').Properties['Description'] = { Ref: 'Nobody' }),
  ],
  [
    'an attribute of an unknown resource',
    /Fn::GetAtt of Nobody/,
    (r) => void (part(r, 'OtherLambdaFunction').Properties['Role'] = { 'Fn::GetAtt': ['Nobody', 'Arn'] }),
  ],
  [
    'an unknown attribute',
    /has no attribute Colour/,
    (r) => void (part(r, 'OtherLambdaFunction').Properties['Role'] = { 'Fn::GetAtt': ['OtherRole', 'Colour'] }),
  ],
  [
    'a text with a reference to an unknown resource',
    /Fn::Sub of Nobody/,
    (r) =>
      void (part(r, 'OtherLambdaFunction').Properties['Description'] = { 'Fn::Sub': '${AWS::Region} ${Nobody.Arn}' }),
  ],
  [
    'a misspelt property',
    /OtherQueue.FifoQueu is not a known property/,
    (r) => void (part(r, 'OtherQueue').Properties['FifoQueu'] = true),
  ],
  [
    'a misspelt property inside a property',
    /ScalingConfig.MaximumConcurency is not a known property/,
    (r) =>
      void (part(r, 'OtherEventSourceMappingSQSOtherQueue').Properties['ScalingConfig'] = { MaximumConcurency: 2 }),
  ],
  [
    'a wrong type',
    /OtherQueue.VisibilityTimeout must be of the type integer/,
    (r) => void (part(r, 'OtherQueue').Properties['VisibilityTimeout'] = 'long'),
  ],
  ['an API without a URL', /the read API has no URL/, (r) => void delete r['ApiLambdaFunctionUrl']],
  [
    'an API that does not stream',
    /does not stream/,
    (r) => void delete part(r, 'ApiLambdaFunctionUrl').Properties['InvokeMode'],
  ],
  [
    'a URL without permission for invocations',
    /no permission for invocations through its URL/,
    (r) => void delete r['ApiLambdaPermissionFn'],
  ],
  [
    'a URL without permission for calls',
    /no permission for calls of its URL/,
    (r) => void delete r['ApiLambdaPermissionFnUrl'],
  ],
  [
    'an API that can be invoked without its URL',
    /invoked without its URL/,
    (r) => void delete part(r, 'ApiLambdaPermissionFn').Properties['InvokedViaFunctionUrl'],
  ],
  [
    'an alarm for a silent relay that does not go off',
    /RelaySilentAlarm does not go off/,
    (r) => void (part(r, 'RelaySilentAlarm').Properties['TreatMissingData'] = 'notBreaching'),
  ],
  [
    'a queue for gaps without an alarm',
    /the queue acme-eu-relay-gap\.fifo.* has no alarm/,
    (r) => void delete r['RelayGapAlarm'],
  ],
  [
    'a policy of the relay that is not an output',
    /the policy of the relay is not an output/,
    (_, whole) => void delete whole.Outputs['RelayPolicyArn'],
  ],
  [
    'a replay function without a schedule',
    /relay-replay has no schedule/,
    (r) => {
      for (const [name, { Type }] of Object.entries(r)) if (Type === 'AWS::Events::Rule') delete r[name]
    },
  ],
  [
    'a schedule that may not run its function',
    /no permission for invocations by its schedule/,
    (r) => {
      for (const [name, { Type, Properties }] of Object.entries(r))
        if (Type === 'AWS::Lambda::Permission' && Properties['Principal'] === 'events.amazonaws.com') delete r[name]
    },
  ],
  [
    'an API that does not know the queues',
    /acme-eu-api does not know the queues/,
    (r) => void delete variablesOf(part(r, 'ApiLambdaFunction'))['ENIGMA_QUEUE_PREFIX'],
  ],
  [
    'a route without an alarm for parked notifications',
    /agents-call: no alarm for Parked/,
    (r) => void delete r['AgentsCallParkedAlarm'],
  ],
  [
    'a missing alarm for the number of parked notifications',
    /relay-replay: no alarm for ParkedNow/,
    (r) => void delete r['ParkedNotEmptyAlarm'],
  ],
  [
    'streams that the deployment does not set',
    /changes are streamed by acme-eu-events, but the deployment sets no events/,
    (r) => void (variablesOf(part(r, 'ApiLambdaFunction'))['ENIGMA_EVENTS_URL'] = 'https://stream.example.com/events'),
  ],
  [
    'an unknown resource type',
    /CloudFormation does not know the type AWS::SQS::Pipe/,
    (r) => void (part(r, 'AlarmTopic').Type = 'AWS::SQS::Pipe'),
  ],
])('%s is found', (_, expected, change) => {
  expect(withChange(change).join('\n')).toMatch(expected)
})

test.each<[string, RegExp, Parameters<typeof withChange>[0]]>([
  [
    'a wrong number of streams',
    /reserved concurrency of 9, but the deployment sets 5/,
    (r) => void (part(r, 'EventsLambdaFunction').Properties['ReservedConcurrentExecutions'] = 9),
  ],
  ['a stream without a URL', /the stream of changes has no URL/, (r) => void delete r['EventsLambdaFunctionUrl']],
  [
    'a stream that does not stream',
    /the URL of the stream of changes does not stream/,
    (r) => void delete part(r, 'EventsLambdaFunctionUrl').Properties['InvokeMode'],
  ],
  [
    'a stream without permission for calls',
    /the stream of changes has no permission for calls/,
    (r) => void delete r['EventsLambdaPermissionFnUrl'],
  ],
  [
    'a stream whose URL the API does not know',
    /tells no client where acme-eu-events is/,
    (r) => void delete variablesOf(part(r, 'ApiLambdaFunction'))['ENIGMA_EVENTS_URL'],
  ],
  [
    'a stream without its time limit',
    /ENIGMA_EVENTS_SECONDS is NaN/,
    (r) => void delete variablesOf(part(r, 'EventsLambdaFunction'))['ENIGMA_EVENTS_SECONDS'],
  ],
  [
    'streams that last too long',
    /does not end its streams within its timeout/,
    (r) => void (variablesOf(part(r, 'EventsLambdaFunction'))['ENIGMA_EVENTS_SECONDS'] = '70'),
  ],
  [
    'a stream with rights of the API',
    /acme-eu-events may do sqs:SendMessage/,
    (r) =>
      void statementsOf(part(r, 'EventsRole')).push({
        Effect: 'Allow',
        Action: ['sqs:SendMessage'],
        Resource: 'arn:aws:sqs:eu-west-1:1:x',
      }),
  ],
  [
    'a stream whose log group has no retention',
    /the log group of acme-eu-events has no retention/,
    (r) => void delete part(r, 'EventsLogGroup').Properties['RetentionInDays'],
  ],
  [
    'a stream without an alarm for errors',
    /no alarm for errors of acme-eu-events/,
    (r) => void delete r['EventsErrorsAlarm'],
  ],
])('with events, %s is found', (_, expected, change) => {
  expect(withChange(change, [streaming, STREAMING]).join('\n')).toMatch(expected)
})

test('with events, the packaged template has no faults, and the API is not in a dependency cycle', () => {
  expect(checkTemplate(streaming, STREAMING)).toEqual([])
  expect(Object.keys(streaming.Resources)).toEqual(expect.arrayContaining(['EventsLambdaFunctionUrl', 'EventsRole']))
  // Every resource that CloudFormation creates before the API.
  const needs = (name: string) => {
    const text = JSON.stringify(streaming.Resources[name])
    return Object.keys(streaming.Resources).filter(
      (other) => other !== name && (text.includes(`"${other}"`) || text.includes(`\${${other}.`)),
    )
  }
  const before = new Set(needs('ApiLambdaFunction'))
  for (const name of before) for (const other of needs(name)) before.add(other)
  expect([...before]).toEqual(expect.arrayContaining(['EventsLambdaFunctionUrl', 'EventsLambdaFunction', 'EventsRole']))
  expect(before).not.toContain('ApiLambdaFunction')
})

test('an alarm announces parked notifications, and its OK action announces that none are left', () => {
  const alarm = part(template.Resources as unknown as Record<string, Part>, 'ParkedNotEmptyAlarm').Properties
  // They are counted every five minutes.
  expect(alarm).toMatchObject({
    MetricName: 'ParkedNow',
    Statistic: 'Maximum',
    Period: 60,
    EvaluationPeriods: 15,
    DatapointsToAlarm: 1,
    TreatMissingData: 'ignore',
  })
  expect(alarm['OKActions']).toEqual(alarm['AlarmActions'])
})

const statementsOf = (role: Part) =>
  (role.Properties['Policies'] as { PolicyDocument: { Statement: unknown[] } }[])[0]?.PolicyDocument
    .Statement as unknown[]
const variablesOf = (lambda: Part) =>
  (lambda.Properties['Environment'] as { Variables: Record<string, string> }).Variables

test('the replay function may send to every queue and drain every dead-letter queue; every other function reads only its own queue', () => {
  const rightsOf = (role: string) =>
    (statementsOf(part(template.Resources as unknown as Record<string, Part>, role)) as Statement[])
      .filter(({ Action }) => String(Action).includes('sqs:'))
      .map(({ Action, Resource }) => [
        Action,
        [Resource].flat().length,
        JSON.stringify(Resource).includes('DeadLetter'),
      ])
  const own = [
    'sqs:ReceiveMessage',
    'sqs:DeleteMessage',
    'sqs:GetQueueAttributes',
    'sqs:GetQueueUrl',
    'sqs:ChangeMessageVisibility',
  ]
  expect(rightsOf('RelayReplayRole')).toEqual([
    [own, 1, false],
    [['sqs:SendMessage', 'sqs:GetQueueUrl'], ROUTES.all.length, false],
    [['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueUrl'], ROUTES.all.length, true],
  ])
  const others = ROUTES.all.filter(({ name }) => name !== 'relay-replay')
  expect(others.length).toBeGreaterThan(10)
  for (const role of others.map(logicalName)) {
    expect([role, rightsOf(`${role}Role`)]).toEqual([role, [[own, 1, false]]])
    const statements = statementsOf(part(template.Resources as unknown as Record<string, Part>, `${role}Role`))
    expect(JSON.stringify(statements)).toContain(`["${role}Queue","Arn"]`)
  }
  expect(rightsOf('ApiRole')).toEqual([
    [['sqs:GetQueueUrl', 'sqs:GetQueueAttributes'], 2 * ROUTES.all.length + 1, true],
    [['sqs:SendMessage'], 2, false],
  ])
})

type Statement = { readonly Action: readonly string[]; readonly Resource: unknown }

test('the dead-letter alarm needs 11 of 15 minutes, because each drain hides the messages for one minute of five', () => {
  expect(part(template.Resources as unknown as Record<string, Part>, 'OtherDeadLetterAlarm').Properties).toMatchObject({
    EvaluationPeriods: 15,
    DatapointsToAlarm: 11,
    Period: 60,
    Statistic: 'Maximum',
  })
})

test('a permission on every resource is accepted only in the role of the route that declares it', () => {
  const statements = [{ actions: ['cloudwatch:PutMetricData'], resources: ['*'] }]
  const routes = ROUTES.all.map((route) => (route.name === 'agents-call' ? { ...route, statements } : route))
  const copy = structuredClone(template) as unknown as Whole
  const wide = { Effect: 'Allow', Action: ['cloudwatch:PutMetricData'], Resource: '*' }
  for (const role of ['AgentsCallRole', 'AgentsStatusRole']) statementsOf(part(copy.Resources, role)).push(wide)
  const wrong = checkTemplate(copy, { ...STACK, routes })
  expect(wrong).toEqual([expect.stringMatching(/^AgentsStatusRole.*cloudwatch:PutMetricData on every resource/)])
})
