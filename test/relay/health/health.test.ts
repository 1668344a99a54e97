import { createServer, type AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { formatPacket } from '../../../src/protocol/index.ts'
import { createRelay, readConfig } from '../../../src/relay/index.ts'
import { captureLog } from '../../support/log.ts'
import { readMetric } from '../../support/metrics.ts'
import { useProxy } from '../../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { relayEnv, useFolder, useRelay, waitFor } from '../../support/relay.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'
import { ROUTES } from '../../support/routes.ts'

const LIST = 'enigma:notifications:campaigns'
const never = new AbortController().signal

type Parts = Record<string, { readonly ok: boolean; readonly since: string; readonly reason?: string }>

async function readReady(address: string) {
  const response = await fetch(`${address}/readyz`)
  const { ok, parts } = (await response.json()) as { ok: boolean; parts: Parts }
  const broken = Object.entries(parts)
    .filter(([, part]) => !part.ok)
    .map(([name]) => name)
  return { status: response.status, ok, parts, broken }
}

test('a healthy relay is live and ready, and /readyz lists the parts that it checks', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST] })
  expect((await fetch(`${relay.address}/livez`)).status).toBe(200)
  expect(await readReady(relay.address)).toMatchObject({ status: 200, ok: true })
  expect(Object.keys((await readReady(relay.address)).parts).toSorted()).toEqual([
    'journal',
    'pubsub:main',
    'redis:main',
    'sqs',
  ])
})

test('while SQS accepts nothing, the relay stays live but is not ready and names the route; afterwards it is ready again', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint })
  sqs.state.answer = () => ({ status: 503, code: 'ServiceUnavailable' })
  await client.publish(
    'enigma:notifications:agents:1002',
    formatPacket({ type: 'status', payload: { status: 'busy' } }),
  )
  await waitFor(async () => (await readReady(relay.address)).status === 503, 'it to be not ready')
  const { broken, parts } = await readReady(relay.address)
  expect(broken).toEqual(['sqs:agents-status'])
  expect(parts['sqs:agents-status']).toEqual({
    ok: false,
    since: expect.stringMatching(/^2\d{3}-.*Z$/) as string,
    reason: expect.stringContaining('SQS cannot be reached or does not accept messages') as string,
  })
  // `since` stays the same during the outage.
  expect((await readReady(relay.address)).parts['sqs:agents-status']).toEqual(parts['sqs:agents-status'])
  expect((await fetch(`${relay.address}/livez`)).status).toBe(200)
  sqs.state.answer = () => 'accept'
  await waitFor(async () => (await readReady(relay.address)).status === 200, 'it to be ready again')
})

test('an idle relay notices that SQS does not answer, and is not ready until SQS answers again', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const proxy = await useProxy(Number(new URL(sqs.endpoint).port))
  let jumpMs = 0
  const relay = await useRelay({
    redisUrl: redis.url,
    endpoint: `http://127.0.0.1:${proxy.port}`,
    now: () => Date.now() + jumpMs,
  })
  expect((await readReady(relay.address)).parts).toMatchObject({ sqs: { ok: true } })
  proxy.state.refuse = true
  proxy.cut()
  // The last answer counts for ten seconds.
  jumpMs = 11_000
  await waitFor(async () => (await readReady(relay.address)).broken.includes('sqs'), 'it to be not ready')
  expect((await readReady(relay.address)).parts['sqs']).toMatchObject({ reason: 'SQS does not answer' })
  proxy.state.refuse = false
  await waitFor(async () => (await readReady(relay.address)).status === 200, 'it to be ready again')
})

test('a route or list without progress for 30 s makes the relay not ready, with the reason, and is logged once', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  let jumpMs = 0
  const relay = await useRelay({
    redisUrl: redis.url,
    endpoint: sqs.endpoint,
    lists: [LIST],
    now: () => Date.now() + jumpMs,
    memoryBytes: 1_000,
  })
  sqs.state.answer = () => 'hang'
  const cdr = formatPacket({ type: 'cdr', payload: { call_ref: 1, filler: 'x'.repeat(2_000) } })
  await client.lPush(LIST, [cdr])
  await waitFor(async () => (await readMetric(relay.address, 'held')) === 1, 'the first to be held')
  await client.lPush(LIST, [cdr, cdr])
  await waitFor(async () => (await readMetric(relay.address, 'backlog')) === 2, 'the others to wait on the list')
  expect((await readReady(relay.address)).broken).toEqual([])
  jumpMs = 31_000
  await waitFor(
    () => relay.lines.filter((line) => line.includes('relay.ready.stalled')).length >= 2,
    'the stall to be said',
  )
  const { parts, status } = await readReady(relay.address)
  expect(status).toBe(503)
  expect(parts['sqs:campaigns-cdr']?.reason).toMatch(
    /^1 notifications wait for the response to a request: no progress for 3\d s$/,
  )
  expect(parts[`list:main:${LIST}`]?.reason).toMatch(
    /^2 items wait, and the relay has taken none for 3\d s: it waits for free memory/,
  )
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  expect(relay.lines.filter((line) => line.includes('relay.ready.stalled'))).toHaveLength(2)
})

test('the relay is not ready while Redis has not answered', async () => {
  const sqs = await useSqsFaults()
  const folder = await useFolder()
  const listening = Promise.withResolvers<string>()
  const config = readConfig(
    relayEnv({ redisUrl: 'redis://127.0.0.1:1', endpoint: sqs.endpoint, lists: [LIST] }, folder),
  )
  const abort = new AbortController()
  const { log, coded } = captureLog()
  const running = createRelay({ routes: ROUTES, config, log, onListening: listening.resolve }).run(abort.signal)
  onTestFinished(() => abort.abort())
  const address = await listening.promise
  await waitFor(() => coded('relay.redis.unreachable').length > 0, 'it to be said')
  await waitFor(async () => (await readReady(address)).parts['sqs']?.ok === true, 'a queue to be found')
  expect(await readReady(address)).toMatchObject({ status: 503, broken: ['redis:main', 'pubsub:main', 'lease:main'] })
  expect(await readMetric(address, 'ready')).toBe(0)
  abort.abort()
  await running
})

test('/metrics counts received, sent and held notifications per route', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST], shutdownMs: 10 })
  const metric = (name: string, labels: Record<string, string> = {}) => readMetric(relay.address, name, labels)
  await client.lPush(
    LIST,
    Array.from({ length: 30 }, (_, n) => formatPacket({ type: 'cdr', payload: { call_ref: n } })),
  )
  await client.publish('enigma:notifications:agents:1002', 'not JSON')
  await waitFor(async () => (await metric('sent_total')) === 31, 'all to be sent')
  expect(await metric('received_total', { transport: 'list', route: 'campaigns-cdr' })).toBe(30)
  expect(await metric('received_total', { transport: 'pubsub', route: 'other' })).toBe(1)
  expect(await metric('other_total', { reason: 'not_json' })).toBe(1)
  expect(await metric('delay_seconds_count', { route: 'campaigns-cdr' })).toBe(30)
  await waitFor(async () => (await metric('journal_rows')) === 0, 'the journal to be empty')
  expect([
    await metric('held'),
    await metric('held_bytes'),
    await metric('requests_in_flight'),
    await metric('backlog'),
  ]).toEqual([0, 0, 0, 0])
  sqs.state.answer = () => 'hang'
  await client.publish('enigma:notifications:agents:1002', 'not JSON')
  await waitFor(async () => (await metric('held', { route: 'other' })) === 1, 'it to be held')
  expect([await metric('requests_in_flight', { route: 'other' }), await metric('journal_rows')]).toEqual([1, 1])
})

test('metrics that alarms use start at 0, so that their first event is an increase', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint })
  const lines = (await (await fetch(`${relay.address}/metrics`)).text()).split('\n')
  for (const series of [
    'gaps_total{source="main",cause="heartbeat_lost"}',
    'gap_seconds_total{source="main"}',
    'discarded_total{route="agents-call",reason="journal_full"}',
    'parked_total{route="campaigns-cdr",reason="too_large"}',
    'requests_total{route="campaigns-cdr",outcome="failed"}',
    'retried_total{route="other"}',
  ])
    expect(lines).toContain(`enigma_relay_${series} 0`)
})

test('a key that is not a list neither makes Redis look unreachable nor hides other metrics', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  await client.set(LIST, 'no list')
  const other = 'enigma:notifications:inbound'
  sqs.state.answer = () => ({ status: 503, code: 'ServiceUnavailable' })
  const packet = formatPacket({ type: 'call', payload: { call_ref: 1 } })
  await client.lPush(
    other,
    Array.from({ length: 7_000 }, () => packet),
  )
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST, other] })
  await waitFor(async () => (await readMetric(relay.address, 'backlog', { list: other })) > 0, 'the length to be known')
  expect((await readReady(relay.address)).parts).toMatchObject({ 'redis:main': { ok: true } })
  // The output buffer is still watched.
  await waitFor(async () => (await readMetric(relay.address, 'output_buffer_limit_bytes')) > 0, 'the limit to be known')
})

test('an address in use is reported with its variable, and the relay releases the journal', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void taken.close())
  const [redis, sqs, folder] = [await useRedisServer(), await useSqsFaults(), await useFolder()]
  const env = { ENIGMA_HTTP: `127.0.0.1:${(taken.address() as AddressInfo).port}` }
  const options = { redisUrl: redis.url, endpoint: sqs.endpoint, dataDir: folder }
  const relay = createRelay({
    routes: ROUTES,
    config: readConfig(relayEnv({ ...options, env }, folder)),
    log: captureLog().log,
  })
  await expect(relay.run(never)).rejects.toThrow(
    expect.objectContaining({
      code: 'relay.http.address_in_use',
      message: expect.stringContaining('ENIGMA_HTTP') as string,
    }),
  )
  expect((await fetch(`${(await useRelay(options)).address}/livez`)).status).toBe(200)
})

test('a second relay with the same id and folder fails to start, and the error names the settings that separate them', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const options = { redisUrl: redis.url, endpoint: sqs.endpoint }
  const { dataDir } = await useRelay(options)
  const second = createRelay({ routes: ROUTES, config: readConfig(relayEnv(options, dataDir)), log: captureLog().log })
  await expect(second.run(never)).rejects.toThrow(
    expect.objectContaining({
      code: 'relay.journal.locked',
      message: expect.stringContaining('its own ENIGMA_DATA_DIR or ENIGMA_RELAY_ID') as string,
    }),
  )
})
