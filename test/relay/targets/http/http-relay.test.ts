import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { formatPacket, type Notification } from '../../../../src/protocol/index.ts'
import { claimsKey } from '../../../../src/relay/redis/relay-keys.ts'
import { useHttpTarget, type TargetAnswer, type TargetRequest } from '../../../support/http-target.ts'
import { useRedisClient, useRedisServer } from '../../../support/redis.ts'
import { receiveAll, useFolder, useRelay, waitFor } from '../../../support/relay.ts'
import { startRelayProcess } from '../../../support/relay-process.ts'
import { useReservedPort } from '../../../support/reserved-port.ts'
import { isInOrder } from '../../../support/sender.ts'
import { useSqs } from '../../../support/sqs.ts'

const LIST = 'enigma:notifications:campaigns'
const cdrOf = (n: number) =>
  formatPacket({ type: 'cdr', payload: { call_ref: n % 10, dialed_at: 1_764_000_000, n, number: '27820000000' } })
const statusOf = (n: number) => formatPacket({ type: 'status', payload: { status: 'busy', n } })

const payloadOf = (event: Notification) =>
  (JSON.parse(String(event.data)) as { payload: { n: number; call_ref?: number } }).payload
const numbered = (events: readonly Notification[]) =>
  events.map((event) => {
    const { n, call_ref: reference } = payloadOf(event)
    return { n, reference: event.subject ?? String(reference) }
  })
const routeOf = ({ headers }: TargetRequest) => headers['ce-route']

/** The environment of a relay that uses nothing of AWS. */
const withoutAws = (url: string) => ({
  ENIGMA_TARGET: url,
  AWS_REGION: '',
  AWS_ENDPOINT_URL_SQS: '',
  ENIGMA_COMMANDS: 'queue',
})

test(
  'G1, G2, G3: after kill -9 a retried notification from a list or Pub/Sub keeps its attempt and is marked as a redelivery',
  { timeout: 90_000 },
  async () => {
    const redis = await useRedisServer()
    const client = await useRedisClient(redis.url)
    const server = await useHttpTarget()
    const dataDir = await useFolder()
    const options = {
      redisUrl: redis.url,
      endpoint: '',
      lists: [LIST],
      dataDir,
      credentials: false,
      env: withoutAws(server.url),
    }
    const isStuck = (event: Notification) =>
      ['cdr', 'status'].some((type) => event.type.endsWith(type)) && payloadOf(event).n % 10 === 3
    let isMended = false
    server.state.answer = () => ({ outcome: (event) => (isStuck(event) && !isMended ? { after: 0.05 } : undefined) })
    const first = startRelayProcess(options)
    await first.ready()
    for (let n = 0; n < 40; n++) {
      await client.lPush(LIST, cdrOf(n))
      await client.publish(`enigma:notifications:agents:${1_000 + (n % 10)}`, statusOf(n))
    }
    const attemptsOf = (route: string) =>
      server.requests
        .filter((request) => routeOf(request) === route)
        .map(({ headers }) => Number(headers['ce-attempt']))
    const ROUTES = ['campaigns-cdr', 'agents-status']
    await waitFor(() => ROUTES.every((route) => Math.max(...attemptsOf(route)) >= 4), 'four attempts of both')
    // The attempt is stored shortly after each answer.
    server.state.answer = () => ({ outcome: (event) => (isStuck(event) && !isMended ? { after: 60 } : undefined) })
    const before = server.requests.length
    await waitFor(
      async () => Object.values(await client.hGetAll(claimsKey('test'))).some((text) => /=(?:[4-9]|\d\d)/.test(text)),
      'the attempt in Redis',
    )
    await waitFor(() => server.requests.length > before, 'the long wait')
    await waitFor(async () => (await first.metric('held', { route: 'agents-status' })) > 0, 'something to be held')
    const known = Object.fromEntries(ROUTES.map((route) => [route, Math.max(...attemptsOf(route))]))
    await first.kill('SIGKILL')
    const sent = server.requests.length
    isMended = true
    const second = startRelayProcess(options)
    await second.ready()
    await waitFor(
      () => new Set(server.finished.filter(({ type }) => /cdr|status/.test(type)).map(({ id }) => id)).size === 80,
      'all to arrive',
    )
    const again = server.requests.slice(sent)
    for (const route of ROUTES) {
      const of = again.filter((request) => routeOf(request) === route)
      const stuck = of.filter(({ events }) => events.some((event) => payloadOf(event).n === 3))
      expect(stuck.length, route).toBeGreaterThan(0)
      // The last answer may have come at the moment of the kill.
      for (const { headers } of stuck) {
        expect(headers['ce-redelivery'], route).toBe('true')
        expect(Number(headers['ce-attempt']), route).toBeGreaterThanOrEqual(3)
        expect(Number(headers['ce-attempt']), route).toBeLessThanOrEqual((known[route] ?? 0) + 1)
      }
    }
    const seen = new Set<string>()
    const distinct = server.finished.filter(({ id, type }) => /cdr|status/.test(type) && !seen.has(id) && seen.add(id))
    expect(isInOrder(numbered(distinct.filter(({ type }) => type.endsWith('cdr'))))).toBe(true)
    expect(isInOrder(numbered(distinct.filter(({ type }) => type.endsWith('status'))))).toBe(true)
    await waitFor(
      async () => Object.keys(await client.hGetAll(claimsKey('test'))).every((field) => field.startsWith('waiting:')),
      'nothing to be left',
    )
  },
)

test(
  'without SQS the relay uses nothing of AWS, and readiness reports the fault of the target',
  { timeout: 60_000 },
  async () => {
    const redis = await useRedisServer()
    const client = await useRedisClient(redis.url)
    const server = await useHttpTarget()
    const relay = startRelayProcess({
      redisUrl: redis.url,
      endpoint: '',
      dataDir: await useFolder(),
      credentials: false,
      env: withoutAws(server.url),
    })
    await relay.ready()
    await waitFor(async () => (await relay.readiness()).status === 200, 'it to be ready')
    expect(Object.keys((await relay.readiness()).parts).filter((part) => part.startsWith('sqs'))).toEqual([])
    server.state.answer = () => ({ status: 401 })
    await client.publish('enigma:notifications:agents:1000', statusOf(0))
    await waitFor(async () => (await relay.readiness()).status === 503, 'it to be unready')
    expect((await relay.readiness()).parts['target:agents-status']?.reason).toMatch(/ENIGMA_TARGET_SECRET/)
    server.state.answer = () => 'done'
    await waitFor(async () => (await relay.readiness()).status === 200, 'it to be ready again')
    expect(server.finished).toHaveLength(1)
    expect([await relay.metric('sent_total', { route: 'agents-status' }), await relay.metric('parked_total')]).toEqual([
      1, 0,
    ])
    expect(relay.lines.filter(({ code }) => /sqs|credentials|commands/.test(String(code)))).toEqual([])
  },
)

test('one route can have an HTTP target while the others use SQS', { timeout: 60_000 }, async () => {
  const [redis, sqs, server] = [await useRedisServer(), await useSqs(), await useHttpTarget()]
  const client = await useRedisClient(redis.url)
  const relay = await useRelay({
    redisUrl: redis.url,
    endpoint: sqs.endpoint,
    lists: [LIST],
    env: { ENIGMA_TARGET_AGENTS_STATUS: server.url },
  })
  for (let n = 0; n < 20; n++) {
    await client.lPush(LIST, cdrOf(n))
    await client.publish(`enigma:notifications:agents:${1_000 + (n % 3)}`, statusOf(n))
  }
  expect(await receiveAll(sqs, 'campaigns-cdr', 20)).toHaveLength(20)
  await waitFor(() => server.finished.length === 20, 'all of the route')
  expect(new Set(server.requests.map(routeOf))).toEqual(new Set(['agents-status']))
  expect(isInOrder(numbered(server.finished))).toBe(true)
  expect((await (await fetch(`${relay.address}/readyz`)).json()) as object).toMatchObject({ ok: true })
})

test('a secret in a file is replaced while the relay runs', { timeout: 60_000 }, async () => {
  const redis = await useRedisServer()
  const client = await useRedisClient(redis.url)
  const server = await useHttpTarget()
  const secrets = [1, 2].map((n) => `whsec_${Buffer.alloc(32, n).toString('base64')}`)
  const file = join(await useFolder(), 'secret')
  await writeFile(file, `${secrets[0]}\n`)
  await useRelay({
    redisUrl: redis.url,
    endpoint: '',
    env: { ...withoutAws(server.url), ENIGMA_TARGET_SECRET_FILE: file },
  })
  const signatures = () => server.requests.map(({ headers }) => String(headers['webhook-signature']).split(' ').length)
  await client.publish('enigma:notifications:agents:1000', statusOf(0))
  await waitFor(() => server.finished.length === 1, 'the first')
  await writeFile(file, `${secrets[1]},${secrets[0]}\n`)
  await client.publish('enigma:notifications:agents:1000', statusOf(1))
  await waitFor(() => server.finished.length === 2, 'the second')
  expect(signatures()).toEqual([1, 2])
})

test(
  'notifications wait while no server listens at the target, and then arrive in order',
  { timeout: 60_000 },
  async () => {
    const redis = await useRedisServer()
    const client = await useRedisClient(redis.url)
    const port = await useReservedPort()
    const relay = await useRelay({ redisUrl: redis.url, endpoint: '', env: withoutAws(`http://127.0.0.1:${port}/`) })
    for (let n = 0; n < 50; n++) await client.publish(`enigma:notifications:agents:${1_000 + (n % 5)}`, statusOf(n))
    await waitFor(() => relay.coded('relay.target.unreachable').length > 0, 'the outage')
    const server = await useHttpTarget(undefined, port)
    await waitFor(() => server.finished.length === 50, 'all to arrive')
    expect(isInOrder(numbered(server.finished))).toBe(true)
    expect(server.requests.some(({ headers }) => headers['ce-redelivery'] !== undefined)).toBe(false)
  },
)

test(
  'G7: functions of one route that hang do not hold back another route for as long',
  { timeout: 60_000 },
  async () => {
    const redis = await useRedisServer()
    const client = await useRedisClient(redis.url)
    const server = await useHttpTarget()
    const hung = Promise.withResolvers<TargetAnswer>()
    server.state.answer = (request) => (routeOf(request) === 'campaigns-cdr' ? hung.promise : 'done')
    await useRelay({ redisUrl: redis.url, endpoint: '', lists: [LIST], env: withoutAws(server.url) })
    await client.lPush(
      LIST,
      Array.from({ length: 2_000 }, (_, n) => cdrOf(n)),
    )
    await waitFor(() => server.requests.length > 0, 'a request that hangs')
    for (let n = 0; n < 200; n++) await client.publish(`enigma:notifications:agents:${1_000 + (n % 50)}`, statusOf(n))
    // Less than the functions of the other route may take, 30 s.
    await waitFor(() => server.finished.length === 200, 'all of the other route', 15_000)
    hung.resolve('done')
    await waitFor(() => server.finished.length === 2_200, 'what hung')
  },
)

test('a request that a server never answers is sent again after ENIGMA_TARGET_TIMEOUT, long before the time limit of its function', async () => {
  const redis = await useRedisServer()
  const client = await useRedisClient(redis.url)
  const server = await useHttpTarget()
  const never = Promise.withResolvers<TargetAnswer>()
  let cdrs = 0
  server.state.answer = (request) => (routeOf(request) === 'campaigns-cdr' && cdrs++ === 0 ? never.promise : 'done')
  const env = { ...withoutAws(server.url), ENIGMA_TARGET_TIMEOUT: '1' }
  await useRelay({ redisUrl: redis.url, endpoint: '', lists: [LIST], env })
  await client.lPush(LIST, cdrOf(1))
  // Without the setting, the copy would be sent after 31 s.
  await waitFor(() => server.finished.length === 1, 'the copy', 20_000)
  const [first, copy] = server.requests.filter((request) => routeOf(request) === 'campaigns-cdr')
  expect([first?.headers['ce-redelivery'], copy?.headers['ce-redelivery']]).toEqual([undefined, 'true'])
  never.resolve('done')
})
