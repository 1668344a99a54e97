import { expect, test } from 'vitest'
import { allSecrets, logicalName, toStackRoutes } from '../../infra/stack/stack-routes.ts'
import { maxPrefixLength, readArguments, readStackOptions } from '../../infra/stack/options.ts'
import { createStack } from '../../infra/stack/stack.ts'
import { AgentCall, CALL_LIMITS, defineRoute, type Needs } from '../../src/protocol/index.ts'
import { DECLARED, ROUTES } from '../support/routes.ts'

/** The error for an invalid option, which quotes the value that the user wrote. */
const refusal = (words: RegExp) =>
  expect.objectContaining({ code: 'deploy.options.invalid', message: expect.stringMatching(words) as string }) as Error

test('unset options have defaults, and the prefix comes from the stage', () => {
  expect(
    readArguments(
      ['--stage', 'prod', '--param=alarmEmail=ops@example.com', '--param', 'corsOrigin=https://a.example'],
      { AWS_REGION: 'eu-west-1' },
      ROUTES.all,
    ),
  ).toEqual({
    stage: 'prod',
    region: 'eu-west-1',
    folder: '.serverless',
    stack: {
      prefix: 'enigma-prod-',
      logRetentionDays: 30,
      alarmEmail: 'ops@example.com',
      corsOrigin: 'https://a.example',
      callLimitSeconds: 7_200,
      timeZone: 'UTC',
      abandonReasons: 'hungup,callee_hungup',
      abandonOf: 'answered',
      abandonThreshold: '3%',
      parkedDays: 30,
      binDays: 7,
      missingMinutes: 15,
      kmsKeyArn: '',
      apiConcurrency: undefined,
      events: undefined,
      keep: true,
      tracing: false,
      routes: ROUTES.all,
    },
  })
  expect(
    readArguments(['-s', 'x', '-r', 'eu-north-1', '-p', '/p'], { AWS_REGION: 'eu-west-1' }, ROUTES.all),
  ).toMatchObject({
    region: 'eu-north-1',
    folder: '/p',
    stack: { prefix: 'enigma-x-' },
  })
})

test.each([
  [{ AWS_REGION: '', AWS_DEFAULT_REGION: 'eu-west-1' }, 'eu-west-1'],
  [{ AWS_REGION: ' ', AWS_DEFAULT_REGION: ' eu-west-1 ' }, 'eu-west-1'],
  [{ AWS_REGION: '', AWS_DEFAULT_REGION: '' }, ''],
])('a blank variable counts as unset: %j', (env, region) => {
  expect(readArguments([], env, ROUTES.all)).toMatchObject({ region })
})

test.each([
  [{ prefix: 'acme' }, /prefix "acme"/],
  [{ prefix: 'Acme_EU-' }, /prefix "Acme_EU-"/],
  [{ prefix: 'acme--eu-' }, /prefix "acme--eu-"/],
  [{ prefix: '1acme-' }, /prefix "1acme-"/],
  [{ prefix: 'aws-acme-' }, /prefix "aws-acme-"/],
  [{ prefix: `${'a'.repeat(maxPrefixLength(ROUTES.all))}-` }, /\b41\b.*\b40\b/],
  [{ logRetentionDays: '31' }, /logRetentionDays "31": .*\b1, 3\b/],
  [{ alarmEmail: 'ops' }, /alarmEmail "ops"/],
  [{ callLimitSeconds: '2h' }, /callLimitSeconds "2h"/],
  [{ timeZone: 'Nowhere/Else' }, /timeZone "Nowhere\/Else"/],
  [{ abandonReasons: 'hungup,,busy' }, /abandonReasons "hungup,,busy"/],
  [{ abandonOf: 'calls' }, /abandonOf "calls"/],
  [{ abandonThreshold: '0.03' }, /abandonThreshold "0.03"/],
  [{ parkedDays: 'ever' }, /parkedDays "ever"/],
  [{ parkedDays: '0' }, /parkedDays "0"/],
  [{ binDays: 'a' }, /binDays "a"/],
  [{ missingMinutes: '0' }, /missingMinutes "0"/],
  [{ corsOrigin: 'https://a.example,b.example' }, /corsOrigin "b.example"/],
  [{ kmsKeyArn: 'alias/x' }, /kmsKeyArn "alias\/x"/],
  [{ apiConcurrency: '0' }, /apiConcurrency "0"/],
  [{ apiConcurrency: '1.5' }, /apiConcurrency "1.5"/],
  [{ events: '0' }, /events "0"/],
  [{ events: 'yes' }, /events "yes"/],
  [{ keep: 'maybe' }, /keep "maybe"/],
  [{ tracing: 'on' }, /tracing "on"/],
  [{ alarmMail: 'ops@example.com' }, /"alarmMail".*\bprefix, .*alarmEmail/],
])('%j is refused with what to write instead', (values, words) => {
  const read = () => readStackOptions({ prefix: 'acme-', ...values }, ROUTES.all)
  expect(read).toThrow(refusal(words))
  expect(read).toThrow(/[:;] (?:write|use) .{5}/)
})

/** The declarations, with these needs for agents/call only. */
const withNeeds = (needs: Needs) =>
  DECLARED.map(({ variables: _, secrets: _secrets, statements: _statements, vpc: _vpc, ...route }) =>
    route.name === 'agents-call' ? { ...route, ...needs } : route,
  )

test.each<[Needs, RegExp]>([
  [{ variables: { 'crm-url': 'x' } }, /"crm-url"/],
  [{ variables: { NODE_OPTIONS: 'x' } }, /"NODE_OPTIONS"/],
  [{ secrets: ['API_TOKEN'] }, /"API_TOKEN"/],
  [{ variables: { CRM_TOKEN: 'x' }, secrets: ['CRM_TOKEN'] }, /"CRM_TOKEN"/],
  [{ secrets: Array.from({ length: 9 }, (_, at) => `P${at}`) }, /\b9 secrets\b.*\b8\b/],
  [{ statements: [{ actions: ['publish'], resources: ['*'] }] }, /"publish"/],
  [{ statements: [{ actions: ['sns:Publish'], resources: ['pops'] }] }, /"pops"/],
  [{ statements: [{ actions: ['sns:Publish'], resources: [] }] }, /resource/],
  [{ vpc: { subnetIds: ['subnet-1'], securityGroupIds: [] } }, /security group/],
])('a route that needs %j is refused with its file and what to write instead', (needs, words) => {
  expect(() => toStackRoutes(withNeeds(needs))).toThrow(
    expect.objectContaining({
      code: 'deploy.routes.invalid',
      message: expect.stringMatching(new RegExp(`^functions/agents/call\\.ts: .*${words.source}`)) as string,
    }) as Error,
  )
})

test('apiConcurrency limits only the API, events only the streams, and neither is set by default', () => {
  const reservedBy = (values: Readonly<Record<string, string>> = {}) => {
    const { functions } = createStack(readStackOptions({ prefix: 'acme-', ...values }, ROUTES.all))
    return Object.entries(functions as Record<string, { reservedConcurrency?: number }>).flatMap(
      ([name, { reservedConcurrency }]) => (reservedConcurrency === undefined ? [] : [[name, reservedConcurrency]]),
    )
  }
  expect(reservedBy()).toEqual([])
  expect(reservedBy({ apiConcurrency: '20' })).toEqual([['api', 20]])
  expect(reservedBy({ events: '5' })).toEqual([['events', 5]])
})

test('events adds a function for streams from the bundle of the API, and the API gets its URL', () => {
  const made = (values: Readonly<Record<string, string>>) =>
    createStack(readStackOptions({ prefix: 'acme-', ...values }, ROUTES.all))
  const [without, { functions, resources }] = [made({}), made({ events: '5', corsOrigin: 'https://a.example' })]
  const [api, events] = ['api', 'events'].map((name) => functions[name] as Record<string, unknown>)
  expect(events).toMatchObject({
    name: 'acme-events',
    handler: api?.['handler'],
    package: api?.['package'],
    url: { invokeMode: 'RESPONSE_STREAM' },
    environment: { ENIGMA_EVENTS_SECONDS: '60', API_CORS_ORIGIN: '*', API_TOKENS_PARAMETER: '/acme/api-tokens' },
  })
  expect(events?.['timeout']).toBeGreaterThan(60)
  expect(events?.['environment']).not.toHaveProperty('ENIGMA_QUEUE_PREFIX')
  expect(api?.['environment']).toMatchObject({
    API_CORS_ORIGIN: 'https://a.example',
    ENIGMA_EVENTS_URL: { 'Fn::Sub': '${EventsLambdaFunctionUrl.FunctionUrl}events' },
  })
  // The streams do not refer to the API in return: with a cycle CloudFormation could create neither.
  expect(JSON.stringify([events, resources.Resources['EventsRole']])).not.toMatch(/Api(Lambda|Role)/)
  expect(JSON.stringify(resources.Resources['EventsRole'])).not.toContain('sqs:')
  // So that it can be turned on again.
  expect(resources.extensions['EventsLogGroup']).toMatchObject({ DeletionPolicy: 'Delete' })
  expect(Object.keys(resources.Resources).filter((name) => name.startsWith('Events'))).toEqual([
    'EventsRole',
    'EventsErrorsAlarm',
    'EventsFaultsAlarm',
  ])
  expect(JSON.stringify(without)).not.toMatch(/acme-events|EVENTS_/)
})

test('only the function of a route gets its variables, the parameter names of its secrets, its permissions and its network', () => {
  const needs = {
    variables: { CRM_URL: 'https://crm.example.com' },
    secrets: ['CRM_TOKEN'],
    statements: [{ actions: ['sns:Publish'], resources: ['arn:aws:sns:eu-west-1:111122223333:pops'] }],
    vpc: { subnetIds: ['subnet-1'], securityGroupIds: ['sg-1'] },
  }
  const options = readStackOptions({ prefix: 'acme-' }, toStackRoutes(withNeeds(needs)))
  const { functions, resources } = createStack(options)
  const made = (key: string) => functions[key] as { environment: Record<string, string>; vpc?: object }
  expect(made('agentsCall')).toMatchObject({
    environment: { CRM_URL: 'https://crm.example.com', CRM_TOKEN_PARAMETER: '/acme/crm-token' },
    vpc: needs.vpc,
  })
  expect(Object.keys(made('agentsStatus').environment).filter((name) => name.startsWith('CRM'))).toEqual([])
  expect(made('agentsStatus').vpc).toBeUndefined()
  for (const right of ['parameter/acme/crm-token', 'sns:Publish', 'ec2:CreateNetworkInterface']) {
    const roles = ['AgentsCallRole', 'AgentsStatusRole', 'ApiRole'].map((role) => resources.Resources[role])
    expect(roles.map((role) => JSON.stringify(role).includes(right))).toEqual([true, false, false])
  }
  expect(allSecrets(options.routes)).toEqual([
    'UPSTASH_REDIS_REST_URL',
    'UPSTASH_REDIS_REST_TOKEN',
    'API_TOKEN',
    'API_TOKENS',
    'CRM_TOKEN',
  ])
})

test('a new declaration has a queue, a dead-letter queue, a function, a role and alarms', () => {
  const route = defineRoute({ type: 'agents', subType: 'break', payload: AgentCall, ...CALL_LIMITS })
  const { functions, resources } = createStack(
    readStackOptions({ prefix: 'acme-' }, toStackRoutes([...DECLARED, route])),
  )
  expect(functions).toHaveProperty('agentsBreak')
  const names = Object.keys(resources.Resources).filter((name) => name.startsWith('AgentsBreak'))
  expect(names).toEqual(
    expect.arrayContaining([
      'AgentsBreakQueue',
      'AgentsBreakDeadLetterQueue',
      'AgentsBreakRole',
      'AgentsBreakAgeAlarm',
    ]),
  )
})

test('all invalid options are reported in one error', () => {
  expect(() => readStackOptions({ prefix: 'x', keep: 'x', alarmEmail: 'x' }, ROUTES.all)).toThrow(
    refusal(/prefix[^]*alarmEmail[^]*keep/),
  )
})

test('no two routes have one logical name', () => {
  expect(new Set(ROUTES.all.map(logicalName)).size).toBe(ROUTES.all.length)
  expect(ROUTES.all.map(logicalName)).toEqual(expect.arrayContaining(['CampaignsDialPreview', 'RelayAlive', 'Other']))
})

test.each([
  [['--help'], /^Unknown option '--help'; the options are --stage, .*--check/],
  [['--bogus', 'x'], /^Unknown option '--bogus';/],
  [['prod'], /^Unexpected argument 'prod';/],
  [['--stage'], /--stage.* argument missing;/],
  [['--region', '--param=keep=no'], /--region/],
  [['--verbose=1'], /--verbose/],
] as const)('the arguments %j are rejected before anything is packaged', (args, words) => {
  expect(() => readArguments(args, {}, ROUTES.all)).toThrow(refusal(words))
})

test('options that only the framework reads are accepted', () => {
  expect(readArguments(['--verbose', '--force', '--aws-profile', 'ops'], {}, ROUTES.all)).toMatchObject({
    stage: 'dev',
  })
})
