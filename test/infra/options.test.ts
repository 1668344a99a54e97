import { expect, test } from 'vitest'
import { readArguments } from '../../infra/package/arguments.ts'
import { logicalName } from '../../infra/stack/names.ts'
import { MOST_PREFIX, readStackOptions } from '../../infra/stack/options.ts'
import { ROUTES } from '../../src/protocol/index.ts'

test('what is not said has a default; the prefix comes from the stage', () => {
  expect(readArguments(['--stage', 'prod', '--param=alarmEmail=ops@example.com', '--param', 'corsOrigin=https://a.example'], { AWS_REGION: 'eu-west-1' })).toEqual({
    stage: 'prod', region: 'eu-west-1', folder: '.serverless',
    stack: { prefix: 'enigma-prod-', logRetentionDays: 30, alarmEmail: 'ops@example.com', corsOrigin: 'https://a.example', kmsKeyArn: '', keep: true },
  })
  expect(readArguments(['-s', 'x', '-r', 'eu-north-1', '-p', '/p'], { AWS_REGION: 'eu-west-1' })).toMatchObject({ region: 'eu-north-1', folder: '/p', stack: { prefix: 'enigma-x-' } })
})

test.each([
  [{ prefix: 'acme' }, /prefix "acme": .*ending with a dash/],
  [{ prefix: 'Acme_EU-' }, /prefix "Acme_EU-": write small letters/],
  [{ prefix: 'acme--eu-' }, /single dashes/],
  [{ prefix: '1acme-' }, /beginning with a letter/],
  [{ prefix: 'aws-acme-' }, /names that begin with aws or ssm/],
  [{ prefix: `${'a'.repeat(MOST_PREFIX)}-` }, /has 43 characters: at most 42/],
  [{ logRetentionDays: '31' }, /logRetentionDays "31": CloudWatch takes 1, 3/],
  [{ alarmEmail: 'ops' }, /alarmEmail "ops"/],
  [{ corsOrigin: 'https://a.example,b.example' }, /corsOrigin "b.example"/],
  [{ kmsKeyArn: 'alias/x' }, /kmsKeyArn "alias\/x": write the ARN/],
  [{ keep: 'maybe' }, /keep "maybe": write yes, or no/],
  [{ alarmMail: 'ops@example.com' }, /no parameter "alarmMail": write one of prefix, .*alarmEmail/],
])('%j is refused with what to write instead', (values, words) => {
  expect(() => readStackOptions({ prefix: 'acme-', ...values })).toThrow(words)
})

test('all faults are said at once', () => {
  expect(() => readStackOptions({ prefix: 'x', keep: 'x', alarmEmail: 'x' })).toThrow(/prefix[^]*alarmEmail[^]*keep/)
})

test('no two routes have one logical name', () => {
  expect(new Set(ROUTES.map(logicalName)).size).toBe(ROUTES.length)
  expect(ROUTES.map(logicalName)).toEqual(expect.arrayContaining(['CampaignsDialPreview', 'RelayAlive', 'Other']))
})
