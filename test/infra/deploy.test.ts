import { CreateQueueCommand } from '@aws-sdk/client-sqs'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test, vi } from 'vitest'
import { checkConcurrency } from '../../infra/deploy/check-account.ts'
import { startParameterStore } from '../../src/local/local-aws.ts'
import { startUpstashProxy } from '../../src/local/upstash-proxy.ts'
import { ROOT } from '../cli/run.ts'
import { useRedisServer } from '../support/redis.ts'
import { useSqs } from '../support/sqs.ts'
import { parameterName } from '../../infra/stack/stack-routes.ts'
import { DECLARED, SECRETS } from '../support/routes.ts'

const run = promisify(execFile)

/** CloudFormation, as far as it is asked: which stacks there are. */
async function useCloudFormation(stacks: Readonly<Record<string, string>>): Promise<string> {
  const server = createServer((request, response) => {
    void (async () => {
      let body = ''
      for await (const chunk of request) body += String(chunk)
      const name = new URLSearchParams(body).get('StackName') ?? ''
      const isThere = stacks[name] !== undefined
      const stack = `<member><StackName>${name}</StackName><StackStatus>${stacks[name]}</StackStatus><CreationTime>2026-01-31T08:00:00Z</CreationTime></member>`
      response.writeHead(isThere ? 200 : 400, { 'content-type': 'text/xml' })
      response.end(
        isThere
          ? `<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks>${stack}</Stacks></DescribeStacksResult></DescribeStacksResponse>`
          : `<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id ${name} does not exist</Message></Error></ErrorResponse>`,
      )
    })()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** CloudWatch Logs, as far as it is asked: which groups there are. */
async function useLogs(groups: readonly string[]): Promise<string> {
  const server = createServer((request, response) => {
    void (async () => {
      let body = ''
      for await (const chunk of request) body += String(chunk)
      const { logGroupNamePrefix = '' } = JSON.parse(body) as { logGroupNamePrefix?: string }
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' })
      response.end(
        JSON.stringify({
          logGroups: groups
            .filter((name) => name.startsWith(logGroupNamePrefix))
            .map((logGroupName) => ({ logGroupName })),
        }),
      )
    })()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Lambda, as far as it is asked: how many functions the account runs at once, how many of them are free, and what the API reserves. */
async function useLambda({
  total = 1000,
  unreserved = 1000,
  reserved = undefined as number | undefined,
  of = 'acme-eu-api',
} = {}): Promise<string> {
  const server = createServer((request, response) => {
    const isAccount = request.url?.includes('account-settings') === true
    const isThere = isAccount || (reserved !== undefined && request.url?.includes(of) === true)
    response.writeHead(isThere ? 200 : 404, {
      'content-type': 'application/json',
      ...(isThere ? {} : { 'x-amzn-errortype': 'ResourceNotFoundException' }),
    })
    const limit = { ConcurrentExecutions: total, UnreservedConcurrentExecutions: unreserved }
    response.end(JSON.stringify(isAccount ? { AccountLimit: limit } : { ReservedConcurrentExecutions: reserved }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** An account with everything that a deployment needs; `check` runs `npm run deploy -- --check` in it. */
async function useAccount(stacks: Readonly<Record<string, string>> = {}, logGroups: readonly string[] = []) {
  const [redis, sqs, cloudFormation, logs, lambda] = [
    await useRedisServer(),
    await useSqs(),
    await useCloudFormation(stacks),
    await useLogs(logGroups),
    await useLambda(),
  ]
  const upstash = await startUpstashProxy({ redisUrl: redis.url, token: 'upstash-token' })
  const parameters = await startParameterStore({
    '/acme-eu/upstash-redis-rest-url': upstash.url,
    '/acme-eu/upstash-redis-rest-token': 'upstash-token',
    '/acme-eu/api-token': 'an-api-token-of-32-characters-or-more',
    // Of functions that somebody has added here.
    ...Object.fromEntries(
      DECLARED.flatMap(({ secrets = [] }) => secrets).map((name) => [parameterName('acme-eu-', name), 'a secret']),
    ),
  })
  onTestFinished(async () => {
    await upstash.stop()
    await parameters.stop()
  })
  const env = {
    PATH: process.env['PATH'] ?? '',
    // What Node made of TypeScript before, so that a start is quick.
    NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
    HOME: '/nonexistent',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_ACCESS_KEY_ID: 'AKIDTEST',
    AWS_SECRET_ACCESS_KEY: 'hidden-secret',
    AWS_ENDPOINT_URL_SSM: parameters.url,
    AWS_ENDPOINT_URL_SQS: sqs.endpoint,
    AWS_ENDPOINT_URL_CLOUDFORMATION: cloudFormation,
    AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: logs,
    AWS_ENDPOINT_URL_LAMBDA: lambda,
  }
  const check = async (
    args: readonly string[] = ['--region', 'us-east-1', '--param=prefix=acme-eu-'],
    own: Record<string, string | undefined> = {},
  ) => {
    const given = Object.fromEntries(
      Object.entries({ ...env, ...own }).filter((entry): entry is [string, string] => entry[1] !== undefined),
    )
    const ended = run(
      process.execPath,
      ['--conditions=source', join(ROOT, 'infra/deploy/deploy.ts'), '--check', '--stage', 'prod', ...args],
      { cwd: ROOT, env: given },
    )
    const { code, stdout, stderr } = await ended.then(
      (out) => ({ code: 0, ...out }),
      (error: unknown) => error as { code: number; stdout: string; stderr: string },
    )
    expect(stdout + stderr).not.toMatch(/hidden-secret|upstash-token|an-api-token/)
    return { code, said: stdout + stderr }
  }
  return { sqs, parameters, check }
}

test('every check is ok in an account with everything that a deployment needs', async () => {
  const { check } = await useAccount()
  const { code, said } = await check()
  expect(said.split('\n').filter((line) => line !== '')).toEqual([
    'ok    region us-east-1, names acme-eu-*',
    'ok    parameter /acme-eu/upstash-redis-rest-url',
    'ok    parameter /acme-eu/upstash-redis-rest-token',
    'ok    parameter /acme-eu/api-token',
    ...Object.keys(SECRETS).map((name) => `ok    parameter /acme-eu/${name.toLowerCase().replaceAll('_', '-')}`),
    'ok    Upstash answers and accepts the token',
    'ok    API tokens: api-token (read)',
    'ok    the account has a Lambda concurrency of 1000; --param="apiConcurrency=20" stops a flood of API requests from delaying screen pops',
    'ok    the stack acme-eu is new',
  ])
  expect(code).toBe(0)
})

test('an existing stack that can be updated passes the check', async () => {
  const { check } = await useAccount({ 'acme-eu': 'UPDATE_COMPLETE' })
  expect(await check()).toMatchObject({
    code: 0,
    said: expect.stringContaining('the stack acme-eu exists (UPDATE_COMPLETE)') as string,
  })
})

test.each([
  ['ROLLBACK_COMPLETE', 'delete-stack'],
  ['REVIEW_IN_PROGRESS', 'delete-stack'],
  ['UPDATE_IN_PROGRESS', 'wait stack-update-complete'],
  ['UPDATE_ROLLBACK_FAILED', 'continue-update-rollback'],
])('a stack that cannot be updated now (%s) fails the check with the fix', async (status, fix) => {
  const { check } = await useAccount({ 'acme-eu': status })
  expect(await check()).toMatchObject({
    code: 1,
    said: expect.stringMatching(new RegExp(`FAIL {2}.*the stack acme-eu .*\\(${status}\\)[^]*${fix}`)) as string,
  })
})

test('invalid arguments are reported before Parameter Store is read', async () => {
  const { check, parameters } = await useAccount()
  expect(await check(['--region', 'us-east-1', '--param=prefix=Acme'])).toMatchObject({
    code: 2,
    said: expect.stringMatching(/prefix "Acme": write lower-case letters/) as string,
  })
  expect(await check(['--region', 'us-east-1', `--param=prefix=${'a'.repeat(50)}-`])).toMatchObject({
    code: 2,
    said: expect.stringContaining('write at most 40') as string,
  })
  expect(await check(['--param=prefix=acme-eu-'])).toMatchObject({
    code: 1,
    said: expect.stringMatching(/FAIL {2}no region is set\n.*--region eu-west-1[^]*nothing was deployed/) as string,
  })
  expect(await check(['--region', 'europe', '--param=prefix=acme-eu-'])).toMatchObject({
    code: 1,
    said: expect.stringContaining('"europe" is not an AWS region') as string,
  })
  expect(parameters.seen.requests).toBe(0)
})

test('apiConcurrency is proposed if the account has room for it; too much for the API and streams fails the check', async () => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDTEST')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'hidden-secret')
  vi.stubEnv('AWS_MAX_ATTEMPTS', '1')
  onTestFinished(() => void vi.unstubAllEnvs())
  const check = async (
    apiConcurrency: number | undefined,
    account: Parameters<typeof useLambda>[0] | 'away',
    events?: number,
  ) => {
    vi.stubEnv('AWS_ENDPOINT_URL_LAMBDA', account === 'away' ? 'http://127.0.0.1:9' : await useLambda(account))
    return checkConcurrency('us-east-1', { prefix: 'acme-eu-', apiConcurrency, events })
  }
  // A new account.
  const small = { total: 10, unreserved: 10 }
  expect(await check(undefined, small)).toMatchObject({
    ok: true,
    fix: expect.stringContaining('L-B99A9384') as string,
  })
  expect(await check(1, small)).toMatchObject({
    ok: false,
    text: expect.stringMatching(/^apiConcurrency 1 .* 10, .* 100 .* 0 can be reserved$/) as string,
    fix: expect.stringMatching(/^remove apiConcurrency, or request a quota/) as string,
  })
  expect(await check(undefined, {})).toMatchObject({
    ok: true,
    text: expect.stringContaining('apiConcurrency=20') as string,
  })
  expect(await check(900, {})).toMatchObject({ ok: true })
  expect(await check(901, {})).toMatchObject({
    ok: false,
    fix: expect.stringMatching(/^--param="apiConcurrency=900"/) as string,
  })
  // What the function reserves already is not taken twice.
  expect(await check(50, { total: 150, unreserved: 100, reserved: 50 })).toMatchObject({ ok: true })
  expect(await check(51, { total: 150, unreserved: 100, reserved: 50 })).toMatchObject({ ok: false })
  expect(await check(undefined, 'away')).toMatchObject({
    ok: true,
    text: expect.stringContaining('cannot be read') as string,
  })
  expect(await check(5, 'away')).toMatchObject({ ok: false })

  // Streams share the concurrency of the account.
  expect(await check(20, {}, 5)).toMatchObject({
    ok: true,
    text: expect.stringMatching(/1000, of which 20 are reserved for the API and 5 are reserved for streams/) as string,
  })
  expect(await check(undefined, {}, 5)).toMatchObject({
    ok: true,
    text: expect.stringMatching(/of which 5 is reserved for streams of changes$/) as string,
  })
  expect(await check(899, {}, 2)).toMatchObject({
    ok: false,
    text: expect.stringMatching(
      /^apiConcurrency 899 and events 2 are together too large.* 900 can be reserved$/,
    ) as string,
    fix: expect.stringMatching(/^lower apiConcurrency or events, or request a quota/) as string,
  })
  expect(await check(undefined, small, 1)).toMatchObject({
    ok: false,
    fix: expect.stringMatching(/^remove events, or request a quota/) as string,
  })
  const streaming = { total: 150, unreserved: 100, reserved: 50, of: 'acme-eu-events' }
  expect(await check(undefined, streaming, 50)).toMatchObject({ ok: true })
  expect(await check(undefined, streaming, 51)).toMatchObject({ ok: false })
  expect(await check(undefined, 'away', 5)).toMatchObject({ ok: false })
})

test('missing credentials, a missing parameter and missing permissions are reported with the fix', async () => {
  const { check, parameters } = await useAccount()
  expect(await check(undefined, { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined })).toMatchObject({
    code: 1,
    said: expect.stringMatching(/FAIL {2}no AWS credentials were found[^]*AWS_PROFILE/) as string,
  })
  parameters.values.delete('/acme-eu/api-token')
  const missing = await check()
  expect(missing.said).toContain(
    'FAIL  the parameter /acme-eu/api-token does not exist in us-east-1\n      printf %s "$(openssl rand -hex 32)" | aws ssm put-parameter --region us-east-1 --type SecureString --name /acme-eu/api-token --value file:///dev/stdin',
  )
  expect(missing.code).toBe(1)
  parameters.fault = { status: 400, code: 'AccessDeniedException' }
  expect((await check()).said).toMatch(
    /FAIL {2}Parameter Store in us-east-1 cannot be read[^]*allow your user to read it/,
  )
  // The name of the region is misspelt: its host does not exist.
  expect((await check(undefined, { AWS_ENDPOINT_URL_SSM: 'http://ssm.eu-wset-1.amazonaws.invalid' })).said).toMatch(
    /cannot be read: getaddrinfo \w+ ssm\.eu-wset-1[^]*describe-regions/,
  )
})

test('the check finds a wrong Upstash token, an API token with invalid characters, and queues of a removed stack', async () => {
  const { check, parameters, sqs } = await useAccount()
  parameters.values.set('/acme-eu/upstash-redis-rest-token', 'another')
  parameters.values.set('/acme-eu/api-token', 'with spaces in it')
  await sqs.sqs.send(
    new CreateQueueCommand({ QueueName: 'acme-eu-agents-call.fifo', Attributes: { FifoQueue: 'true' } }),
  )
  const { code, said } = await check()
  expect(code).toBe(1)
  expect(said).toMatch(/FAIL {2}Upstash: the read model rejected the token[^]*REST API section/)
  expect(said).toMatch(/FAIL {2}API_TOKEN: a token may contain only A-Z/)
  expect(said).toMatch(
    /FAIL {2}1 queues of a removed stack, or created by hand, still exist, such as acme-eu-agents-call\.fifo/,
  )
})

test('the check finds a dead-letter queue or log group of a removed stack, and ignores those of other stacks', async () => {
  const { check, sqs } = await useAccount({}, ['/aws/lambda/acme-eu-api', '/aws/lambda/acme-eu-north-api'])
  await sqs.sqs.send(new CreateQueueCommand({ QueueName: 'acme-eu-other-dlq.fifo', Attributes: { FifoQueue: 'true' } }))
  await sqs.sqs.send(
    new CreateQueueCommand({ QueueName: 'acme-eu-north-other.fifo', Attributes: { FifoQueue: 'true' } }),
  )
  const { code, said } = await check()
  expect(code).toBe(1)
  expect(said).toMatch(/FAIL {2}1 queues of a removed stack.*such as acme-eu-other-dlq\.fifo/)
  expect(said).toMatch(
    /FAIL {2}1 log groups of a removed stack.*such as \/aws\/lambda\/acme-eu-api:[^]*delete-log-group/,
  )
  expect(said).not.toContain('is new')
})

test('an unexpected answer of an AWS service fails the check with a fix, and the stack is not reported as new', async () => {
  const { check } = await useAccount()
  const web = createServer(
    (_, response) => void response.writeHead(500, { 'content-type': 'text/html' }).end('<html><title>busy</html>'),
  ).listen(0, '127.0.0.1')
  await once(web, 'listening')
  onTestFinished(() => void web.close())
  const endpoint = `http://127.0.0.1:${(web.address() as AddressInfo).port}`
  const { code, said } = await check(undefined, { AWS_ENDPOINT_URL_SQS: endpoint, AWS_MAX_ATTEMPTS: '1' })
  expect(code).toBe(1)
  expect(said).toMatch(/FAIL {2}SQS in us-east-1 cannot be read: .+\n {6}check the network/)
  expect(said).not.toContain('is new')
})
