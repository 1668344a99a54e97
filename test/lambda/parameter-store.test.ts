import { expect, onTestFinished, test, vi } from 'vitest'
import { createParameters } from '../../src/lambda/parameter-store.ts'
import { startParameterStore } from '../../src/local/local-aws.ts'
import { startUpstashProxy } from '../../src/local/upstash-proxy.ts'
import { notice, TOKEN } from '../api/api-world.ts'
import { startProxy } from '../support/proxy.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { agentStatus } from '../../src/store/index.ts'

const SECOND_TOKEN = 'the-second-api-token-of-32-characters'
const NAMES = { TOKEN: '/enigma-prod/token', URL: '/enigma-prod/url' }
const CREDENTIALS = { accessKeyId: 'AKID', secretAccessKey: 'no-secret' }

async function useParameters(values: Readonly<Record<string, string>>) {
  const server = await startParameterStore(values)
  onTestFinished(() => server.stop())
  const proxy = await startProxy(Number(new URL(server.url).port))
  const clock = { ms: 0 }
  const parameters = createParameters({
    names: NAMES,
    region: 'eu-west-1',
    credentials: CREDENTIALS,
    endpoint: `http://127.0.0.1:${proxy.port}/`,
    now: () => clock.ms,
  })
  return { server, proxy, clock, parameters }
}

const GOOD = { '/enigma-prod/token': ' t1\n', '/enigma-prod/url': 'https://x.example.com' }

const MINUTE = 60_000

test('all parameters are read with one request, decrypted, and are refreshed in the background after four minutes', async () => {
  const { server, clock, parameters } = await useParameters(GOOD)
  expect(await Promise.all([parameters.read(), parameters.read()])).toEqual([
    { TOKEN: 't1', URL: GOOD['/enigma-prod/url'] },
    { TOKEN: 't1', URL: GOOD['/enigma-prod/url'] },
  ])
  server.values.set('/enigma-prod/token', 't2')
  clock.ms = 4 * MINUTE - 1
  expect((await parameters.read())['TOKEN']).toBe('t1')
  expect(server.seen.requests).toBe(1)
  clock.ms = 4 * MINUTE
  expect((await Promise.all([parameters.read(), parameters.read()])).map(({ TOKEN: token }) => token)).toEqual([
    't1',
    't1',
  ])
  await vi.waitFor(async () => expect((await parameters.read())['TOKEN']).toBe('t2'))
  expect(server.seen.requests).toBe(2)
})

test('a value that was refused is read again, at most once in the given time', async () => {
  const { server, clock, parameters } = await useParameters(GOOD)
  await parameters.read()
  server.values.set('/enigma-prod/token', 't2')
  clock.ms = 4_999
  expect((await parameters.read(5_000))['TOKEN']).toBe('t1')
  clock.ms = 5_000
  expect(
    (await Promise.all([parameters.read(5_000), parameters.read(5_000)])).map(({ TOKEN: token }) => token),
  ).toEqual(['t2', 't2'])
  expect(server.seen.requests).toBe(2)
})

test('a Parameter Store that hangs or fails does not delay a read of known values, and is asked again', async () => {
  const { server, proxy, clock, parameters } = await useParameters(GOOD)
  const said = vi.spyOn(console, 'error').mockImplementation(() => undefined)
  onTestFinished(() => said.mockRestore())
  await parameters.read()
  proxy.state.halfOpen = true
  clock.ms = 10 * MINUTE
  // As in an environment that is frozen right after each invocation: the request of the first one never ends.
  for (let at = 0; at < 3; at++) expect((await parameters.read())['TOKEN']).toBe('t1')
  proxy.state.halfOpen = false
  server.values.set('/enigma-prod/token', 't2')
  clock.ms += 30_000
  expect((await parameters.read())['TOKEN']).toBe('t1')
  await vi.waitFor(async () => expect((await parameters.read())['TOKEN']).toBe('t2'))
  // Reading a value that was refused does not wait for an earlier request either.
  proxy.state.halfOpen = true
  clock.ms += 10 * MINUTE
  await parameters.read()
  proxy.state.halfOpen = false
  server.values.set('/enigma-prod/token', 't3')
  clock.ms += 5_000
  expect((await parameters.read(5_000))['TOKEN']).toBe('t3')
  clock.ms += 10 * MINUTE
  server.fault = { status: 400, code: 'AccessDeniedException' }
  expect((await parameters.read())['TOKEN']).toBe('t3')
  await vi.waitFor(() => expect(said).toHaveBeenCalledOnce())
  const line = String(said.mock.calls[0]?.[0])
  expect(JSON.parse(line)).toMatchObject({ level: 'warn', code: 'functions.parameters.stale' })
  expect(line).not.toMatch(/t3|no-secret/)
  const { requests } = server.seen
  await parameters.read()
  expect(server.seen.requests).toBe(requests)
})

test('a request whose connection is cut, as while an environment is frozen, is sent again', async () => {
  const { proxy, parameters } = await useParameters(GOOD)
  proxy.state.failAt = {
    words: 'GetParameters',
    get how() {
      proxy.state.failAt = undefined
      return 'cut' as const
    },
  }
  expect((await parameters.read())['TOKEN']).toBe('t1')
  expect(proxy.state.failures).toBe(1)
})

test('a missing parameter is reported with the command that creates it', async () => {
  const { parameters } = await useParameters({ '/enigma-prod/url': 'https://x.example.com' })
  await expect(parameters.read()).rejects.toMatchObject({
    code: 'functions.parameters.missing',
    message: expect.stringMatching(/\/enigma-prod\/token\b.*`aws ssm put-parameter/) as string,
  })
})

test('a throttled request to Parameter Store is retried; a refusal is quoted', async () => {
  const { server, parameters } = await useParameters(GOOD)
  server.fault = { status: 400, code: 'AccessDeniedException' }
  const said = vi.spyOn(console, 'error').mockImplementation(() => undefined)
  onTestFinished(() => said.mockRestore())
  await expect(parameters.read()).rejects.toMatchObject({
    code: 'functions.parameters.refused',
    message: expect.stringContaining('AccessDeniedException as was wanted') as string,
  })
  expect(said.mock.calls.map(([line]) => JSON.parse(line as string) as unknown)).toMatchObject([
    { code: 'functions.parameters.unreadable', error: expect.stringContaining('AccessDeniedException as was wanted') },
  ])
  server.fault = { status: 400, code: 'ThrottlingException' }
  setTimeout(() => {
    server.fault = undefined
  }, 100)
  expect((await parameters.read())['TOKEN']).toBe('t1')
})

test('a Parameter Store that fails for a moment is asked again', async () => {
  const { server, parameters } = await useParameters(GOOD)
  server.fault = { status: 503, code: 'ServiceUnavailable' }
  setTimeout(() => {
    server.fault = undefined
  }, 100)
  expect((await parameters.read())['TOKEN']).toBe('t1')
  expect(server.seen.requests).toBeGreaterThan(1)
})

test('a blank variable counts as not set: no parameter is read, and defaults apply', async () => {
  const { proxy, redis } = await useStore()
  const blank = [
    'UPSTASH_REDIS_REST_URL_PARAMETER',
    'UPSTASH_REDIS_REST_TOKEN_PARAMETER',
    'CRM_TOKEN_PARAMETER',
    'ENIGMA_STORE_PREFIX',
  ]
  for (const name of blank) vi.stubEnv(name, '')
  for (const [name, value] of Object.entries({
    UPSTASH_REDIS_REST_URL: proxy.url,
    UPSTASH_REDIS_REST_TOKEN: 'test-token',
  }))
    vi.stubEnv(name, value)
  onTestFinished(() => void vi.unstubAllEnvs())
  vi.resetModules()
  const { store } = await import('../../src/lambda/wiring.ts')
  const { setting } = await import('../../src/settings/index.ts')
  expect(await setting('CRM_TOKEN')).toBe('')
  await store().commit({
    effects: [agentStatus(notice({ status: 'available' }, { reference: '1002' }))],
    done: new Map(),
  })
  const client = await useRedisClient(redis.url)
  expect((await client.keys('*')).filter((key) => !key.startsWith('enigma:'))).toEqual([])
  expect(createParameters({ names: {}, region: 'eu-west-1', credentials: CREDENTIALS, endpoint: '' })).toBeDefined()
})

test('the functions read the address of the read model and the API token from Parameter Store; changes there need no deployment', async () => {
  const { redis, proxy } = await useStore()
  const { server } = await useParameters({
    '/s/url': proxy.url,
    '/s/token': 'test-token',
    '/s/api': TOKEN,
    '/s/crm': 'a-crm-token',
  })
  for (const [name, value] of Object.entries({
    UPSTASH_REDIS_REST_URL_PARAMETER: '/s/url',
    UPSTASH_REDIS_REST_TOKEN_PARAMETER: '/s/token',
    API_TOKEN_PARAMETER: '/s/api',
    CRM_TOKEN_PARAMETER: '/s/crm',
    NOT_OURS_PARAMETER: 'x',
    AWS_ENDPOINT_URL_SSM: server.url,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    ENIGMA_STORE_PREFIX: 'enigma-prod:',
    UPSTASH_REDIS_REST_URL: undefined,
    UPSTASH_REDIS_REST_TOKEN: undefined,
    API_TOKEN: undefined,
  }))
    vi.stubEnv(name, value)
  onTestFinished(() => void vi.unstubAllEnvs())
  vi.resetModules()
  const { store } = await import('../../src/lambda/wiring.ts')
  const { setting } = await import('../../src/settings/index.ts')
  const { app } = await import('../../functions/api.ts')
  const get = (token: string) => app.request('/agents/1002', { headers: { authorization: `Bearer ${token}` } })
  await store().commit({
    effects: [agentStatus(notice({ status: 'available' }, { reference: '1002' }))],
    done: new Map(),
  })
  expect(await (await get(TOKEN)).json()).toMatchObject({ states: [{ status: 'available' }] })
  expect((await get('other')).status).toBe(401)
  expect(server.seen.requests).toBe(1)

  // The token of the database is rotated. The first refusal makes the functions read it again, if the last read is some seconds old.
  await proxy.stop()
  const next = await startUpstashProxy({ redisUrl: redis.url, token: 'second-token' })
  onTestFinished(() => next.stop())
  server.values.set('/s/url', next.url)
  server.values.set('/s/token', 'second-token')
  server.values.set('/s/api', SECOND_TOKEN)
  await setting('API_TOKEN', 0)
  expect(await setting('CRM_TOKEN')).toBe('a-crm-token')
  expect((await get(SECOND_TOKEN)).status).toBe(200)
  expect((await get(TOKEN)).status).toBe(401)
})
