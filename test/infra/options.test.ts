import { expect, test } from 'vitest'
import { readArguments } from '../../infra/package/arguments.ts'
import { logicalName } from '../../infra/stack/names.ts'
import { MOST_PREFIX, readStackOptions } from '../../infra/stack/options.ts'
import { allParameters } from '../../infra/stack/own-settings.ts'
import { createStack } from '../../infra/stack/stack.ts'
import { ROUTES } from '../../src/protocol/index.ts'

/** Names what is wrong: the words are the user's own. */
const refusal = (words: RegExp) =>
  expect.objectContaining({ code: 'deploy.options.invalid', message: expect.stringMatching(words) as string }) as Error

test('what is not said has a default; the prefix comes from the stage', () => {
  expect(
    readArguments(
      ['--stage', 'prod', '--param=alarmEmail=ops@example.com', '--param', 'corsOrigin=https://a.example'],
      { AWS_REGION: 'eu-west-1' },
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
      kmsKeyArn: '',
      apiConcurrency: undefined,
      keep: true,
      settings: {},
    },
  })
  expect(readArguments(['-s', 'x', '-r', 'eu-north-1', '-p', '/p'], { AWS_REGION: 'eu-west-1' })).toMatchObject({
    region: 'eu-north-1',
    folder: '/p',
    stack: { prefix: 'enigma-x-' },
  })
})

test.each([
  [{ AWS_REGION: '', AWS_DEFAULT_REGION: 'eu-west-1' }, 'eu-west-1'],
  [{ AWS_REGION: ' ', AWS_DEFAULT_REGION: ' eu-west-1 ' }, 'eu-west-1'],
  [{ AWS_REGION: '', AWS_DEFAULT_REGION: '' }, ''],
])('a variable that is there and blank is not set: %j', (env, region) => {
  expect(readArguments([], env)).toMatchObject({ region })
})

test.each([
  [{ prefix: 'acme' }, /prefix "acme"/],
  [{ prefix: 'Acme_EU-' }, /prefix "Acme_EU-"/],
  [{ prefix: 'acme--eu-' }, /prefix "acme--eu-"/],
  [{ prefix: '1acme-' }, /prefix "1acme-"/],
  [{ prefix: 'aws-acme-' }, /prefix "aws-acme-"/],
  [{ prefix: `${'a'.repeat(MOST_PREFIX)}-` }, /\b43\b.*\b42\b/],
  [{ logRetentionDays: '31' }, /logRetentionDays "31": .*\b1, 3\b/],
  [{ alarmEmail: 'ops' }, /alarmEmail "ops"/],
  [{ callLimitSeconds: '2h' }, /callLimitSeconds "2h"/],
  [{ corsOrigin: 'https://a.example,b.example' }, /corsOrigin "b.example"/],
  [{ kmsKeyArn: 'alias/x' }, /kmsKeyArn "alias\/x"/],
  [{ apiConcurrency: '0' }, /apiConcurrency "0"/],
  [{ apiConcurrency: '1.5' }, /apiConcurrency "1.5"/],
  [{ keep: 'maybe' }, /keep "maybe"/],
  [{ alarmMail: 'ops@example.com' }, /"alarmMail".*\bprefix, .*alarmEmail/],
])('%j is refused with what to write instead', (values, words) => {
  expect(() => readStackOptions({ prefix: 'acme-', ...values })).toThrow(refusal(words))
})

test.each([
  [{ 'agents-calls': {} }, /"agents-calls": .*agents-status/],
  [{ other: { variables: { 'crm-url': 'x' } } }, /"other": "crm-url"/],
  [{ other: { variables: { NODE_OPTIONS: 'x' } } }, /"NODE_OPTIONS"/],
  [{ other: { parameters: ['API_TOKEN'] } }, /"API_TOKEN"/],
  [{ other: { variables: { CRM_TOKEN: 'x' }, parameters: ['CRM_TOKEN'] } }, /"CRM_TOKEN"/],
  [{ other: { parameters: Array.from({ length: 9 }, (_, at) => `P${at}`) } }, /\b9 parameters\b.*\b8\b/],
])('functions/settings.ts with %j is refused with what to write instead', (settings, words) => {
  expect(() => readStackOptions({ prefix: 'acme-' }, settings)).toThrow(refusal(words))
})

test('apiConcurrency bounds the API alone, and is off by default', () => {
  const reservedBy = (apiConcurrency?: string) => {
    const { functions } = createStack(readStackOptions({ prefix: 'acme-', ...(apiConcurrency && { apiConcurrency }) }))
    return Object.entries(functions as Record<string, { reservedConcurrency?: number }>).flatMap(
      ([name, { reservedConcurrency }]) => (reservedConcurrency === undefined ? [] : [[name, reservedConcurrency]]),
    )
  }
  expect(reservedBy()).toEqual([])
  expect(reservedBy('20')).toEqual([['api', 20]])
})

test("settings of one's own reach their function alone, secrets as where they are, with the right to read them", () => {
  const options = readStackOptions(
    { prefix: 'acme-' },
    { 'agents-call': { variables: { CRM_URL: 'https://crm.example.com' }, parameters: ['CRM_TOKEN'] } },
  )
  const { functions, resources } = createStack(options)
  const variables = (key: string) => (functions[key] as { environment: Record<string, string> }).environment
  expect(variables('agentsCall')).toMatchObject({
    CRM_URL: 'https://crm.example.com',
    CRM_TOKEN_PARAMETER: '/acme/crm-token',
  })
  expect(Object.keys(variables('agentsStatus')).filter((name) => name.startsWith('CRM'))).toEqual([])
  const mayRead = (role: string) => JSON.stringify(resources.Resources[role]).includes('parameter/acme/crm-token')
  expect([mayRead('AgentsCallRole'), mayRead('AgentsStatusRole'), mayRead('ApiRole')]).toEqual([true, false, false])
  expect(allParameters(options.settings)).toEqual([
    'UPSTASH_REDIS_REST_URL',
    'UPSTASH_REDIS_REST_TOKEN',
    'API_TOKEN',
    'API_TOKENS',
    'CRM_TOKEN',
  ])
})

test('all faults are said at once', () => {
  expect(() => readStackOptions({ prefix: 'x', keep: 'x', alarmEmail: 'x' })).toThrow(
    refusal(/prefix[^]*alarmEmail[^]*keep/),
  )
})

test('no two routes have one logical name', () => {
  expect(new Set(ROUTES.map(logicalName)).size).toBe(ROUTES.length)
  expect(ROUTES.map(logicalName)).toEqual(expect.arrayContaining(['CampaignsDialPreview', 'RelayAlive', 'Other']))
})
