import { expect, onTestFinished, test } from 'vitest'
import { createQueues } from '../../src/relay/targets/sqs/sqs-target.ts'
import { startRedisServer } from '../../src/local/servers.ts'
import { formatPacket } from '../../src/protocol/index.ts'
import { receiveDistinct } from '../support/collect.ts'
import { useProxy } from '../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { receiveAll, useFolder, waitFor } from '../support/relay.ts'
import { startRelayProcess } from '../support/relay-process.ts'
import { useReservedPort } from '../support/reserved-port.ts'
import { useSqs } from '../support/sqs.ts'
import { ROUTES } from '../support/routes.ts'

const LIST = 'enigma:notifications:campaigns'
const PREFIX = { ENIGMA_QUEUE_PREFIX: 'later-' }
const cdrOf = (n: number) => formatPacket({ type: 'cdr', payload: { call_ref: n, dialed_at: 1_764_000_000 } })
const status = formatPacket({ type: 'status', payload: { status: 'busy' } })
/** The relay looks up the first queue at its start, and each of the others before its first message. */
const MISSING = new Set([`later-${ROUTES.all[0]?.name}.fifo`, 'later-agents-status.fifo', 'later-campaigns-cdr.fifo'])

test('the relay logs a missing queue once with the remedy, keeps its notifications, and sends them when it is created', async () => {
  const [redis, sqs, dataDir] = [await useRedisServer(), await useSqs(), await useFolder()]
  const client = await useRedisClient(redis.url)
  const relay = startRelayProcess({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST], dataDir, env: PREFIX })
  await relay.ready()
  for (let n = 0; n < 10; n++) {
    await client.lPush(LIST, cdrOf(n))
    await client.publish('enigma:notifications:agents:1002', status)
  }
  await waitFor(
    async () => relay.coded('relay.sqs.queue_missing').length >= MISSING.size && (await relay.metric('held')) === 20,
    'it to be said',
  )
  const queues = await createQueues(sqs.sqs, 'later-', ROUTES)
  const later = { ...sqs, url: (route: string) => queues.find((queue) => queue.route.name === route)?.url ?? '' }
  expect(await receiveAll(later, 'campaigns-cdr', 10)).toHaveLength(10)
  expect(await receiveAll(later, 'agents-status', 10)).toHaveLength(10)
  const logged = relay.coded('relay.sqs.queue_missing')
  expect(logged.map(({ queue }) => String(queue)).toSorted()).toEqual([...MISSING].toSorted())
  for (const { queue, msg } of logged)
    expect(msg).toMatch(new RegExp(`${String(queue)} .*"enigma-relay queues --create".*ENIGMA_QUEUE_PREFIX`))
})

test('without AWS credentials, the relay logs it once and keeps its items; a restart with credentials sends them', async () => {
  const [redis, sqs, dataDir] = [await useRedisServer(), await useSqs(), await useFolder()]
  const client = await useRedisClient(redis.url)
  const options = { redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST], dataDir }
  const relay = startRelayProcess({ ...options, credentials: false })
  await relay.ready()
  await client.lPush(LIST, [cdrOf(0), cdrOf(1)])
  await waitFor(() => relay.coded('relay.sqs.credentials_rejected').length > 0, 'it to be said')
  expect(await relay.kill('SIGTERM')).toMatchObject({ code: 0, errors: '' })
  expect(relay.coded('relay.sqs.credentials_rejected')).toHaveLength(1)
  startRelayProcess(options)
  expect(await receiveAll(sqs, 'campaigns-cdr', 2)).toHaveLength(2)
})

test('the relay logs a wrong Redis port once, with ENIGMA_SOURCES, and connects as soon as Redis answers there', async () => {
  const [redis, sqs, dataDir] = [await useRedisServer(), await useSqs(), await useFolder()]
  const client = await useRedisClient(redis.url)
  const proxy = await useProxy(redis.port)
  proxy.state.refuse = true
  await client.lPush(LIST, cdrOf(0))
  const relay = startRelayProcess({
    redisUrl: `redis://127.0.0.1:${proxy.port}`,
    endpoint: sqs.endpoint,
    lists: [LIST],
    dataDir,
  })
  await waitFor(() => relay.coded('relay.redis.unreachable').length > 0, 'it to be said')
  await new Promise((resolve) => setTimeout(resolve, 500))
  expect(relay.coded('relay.redis.unreachable')).toMatchObject([
    { msg: expect.stringContaining('ENIGMA_SOURCES') as string },
  ])
  proxy.state.refuse = false
  expect(await receiveAll(sqs, 'campaigns-cdr', 1)).toHaveLength(1)
  expect(relay.coded('relay.redis.recovered')).toHaveLength(1)
})

test('a relay that has never reached its Redis exits with code 0 on SIGTERM', async () => {
  const relay = startRelayProcess({
    redisUrl: 'redis://127.0.0.1:1',
    endpoint: 'http://127.0.0.1:1',
    lists: [LIST],
    dataDir: await useFolder(),
  })
  await waitFor(() => relay.coded('relay.redis.unreachable').length > 0, 'it to be said')
  expect(await relay.kill('SIGTERM')).toEqual({ code: 0, signal: null, errors: '' })
})

test(
  'the relay logs a Redis outage once for all connections, and loses no list item',
  { timeout: 30_000 },
  async () => {
    const [sqs, dataDir, redisDir] = [await useSqs(), await useFolder(), await useFolder()]
    const options = { dataDir: redisDir, port: await useReservedPort() }
    const first = await startRedisServer(options)
    onTestFinished(() => first.stop())
    const relay = startRelayProcess({ redisUrl: first.url, endpoint: sqs.endpoint, lists: [LIST], dataDir })
    await relay.ready()
    const client = await useRedisClient(first.url)
    await client.lPush(LIST, [cdrOf(0), cdrOf(1)])
    client.destroy()
    await first.stop()
    await waitFor(
      () => relay.coded('relay.redis.unreachable').length > 0 && relay.coded('relay.pubsub.unheard').length > 0,
      'it to be said',
    )
    const again = await startRedisServer(options)
    onTestFinished(() => again.stop())
    await (await useRedisClient(again.url)).lPush(LIST, [cdrOf(2), cdrOf(3)])
    expect(await receiveDistinct(sqs, 'campaigns-cdr', 4)).toHaveLength(4)
    await waitFor(async () => (await relay.metric('gaps_total')) === 1, 'the gap')
    await relay.ready()
    // The last connection may recover after the relay reports ready.
    for (const code of [
      'relay.redis.unreachable',
      'relay.redis.recovered',
      'relay.list.failed',
      'relay.list.recovered',
      'relay.pubsub.unheard',
    ]) {
      await waitFor(() => relay.coded(code).length > 0, `${code} to be logged`)
      expect(relay.coded(code), code).toHaveLength(1)
    }
  },
)

test('invalid variables are reported together, each with its remedy but no password, and the relay exits with code 2', async () => {
  const env = {
    ENIGMA_SOURCES: 'redis://user:hunter2@127.0.0.1',
    ENIGMA_LIST_END: 'top',
    ENIGMA_HTTP: 'here',
    ENIGMA_LOG_LEVEL: 'loud',
  }
  const relay = startRelayProcess({ redisUrl: '', endpoint: 'http://127.0.0.1:1', dataDir: await useFolder(), env })
  const { code, errors } = await relay.exited
  expect(code).toBe(2)
  for (const name of Object.keys(env)) expect(errors).toMatch(new RegExp(`^  ${name}: .+\n    (write|use) .+$`, 'm'))
  expect(errors).toContain('(config.variables.invalid)')
  expect(errors).not.toContain('hunter2')
  expect(relay.lines).toEqual([])
})
