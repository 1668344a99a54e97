import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { createMetrics } from '../../../src/relay/metrics.ts'
import { createRedis } from '../../../src/relay/redis/redis-client.ts'
import { createOutputBuffer } from '../../../src/relay/health/watch-source.ts'
import { captureLog } from '../../support/log.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { waitFor } from '../../support/relay.ts'

const MIB = 1024 * 1024

async function useView(url: string) {
  const { log, coded } = captureLog()
  const metrics = createMetrics()
  const client = createRedis({ url, name: 'view', log, reconnect: false })
  await client.connect()
  onTestFinished(() => client.destroy())
  return { view: createOutputBuffer({ client, sourceId: 'main', log, metrics }), metrics, coded, client }
}

/** Opens a connection that subscribes and reads nothing. Resolves with its client id. */
async function useDeafListener(port: number): Promise<number> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined)
  onTestFinished(() => void socket.destroy())
  socket.write('CLIENT ID\r\n')
  const id = await new Promise<number>((resolve) =>
    socket.once('data', (reply) => resolve(Number(String(reply).slice(1)))),
  )
  socket.pause()
  socket.write('SUBSCRIBE big\r\n')
  return id
}

test('the output buffer of the listener is measured against its limit, and one warning is logged at half of it', async () => {
  const redis = await useRedisServer({ args: ['--client-output-buffer-limit', 'pubsub', '8mb', '0', '0'] })
  const [publisher, { view, metrics, coded }] = [await useRedisClient(redis.url), await useView(redis.url)]
  view.listenerId = await useDeafListener(redis.port)
  expect(await view.overran()).toBe(false)
  await view.check()
  const values = async () => [
    (await metrics.outputBuffer.get()).values[0]?.value ?? 0,
    (await metrics.outputBufferLimit.get()).values[0]?.value,
  ]
  expect(await values()).toEqual([0, 8 * MIB])
  expect(coded('relay.pubsub.backlog')).toHaveLength(0)
  await waitFor(async () => {
    await publisher.publish('big', 'x'.repeat(MIB / 4))
    await view.check()
    return coded('relay.pubsub.backlog').length > 0
  }, 'the warning')
  await view.check()
  expect((await values())[0]).toBeGreaterThanOrEqual(4 * MIB)
  expect(coded('relay.pubsub.backlog')).toHaveLength(1)
  expect(await view.overran()).toBe(true)
})

test('each missing right is logged once, and nothing fails', async () => {
  const redis = await useRedisServer()
  const admin = await useRedisClient(redis.url)
  await admin.sendCommand([
    'ACL',
    'SETUSER',
    'bare',
    'on',
    '>secret',
    '~*',
    '&*',
    '+@all',
    '-client|list',
    '-config',
    '-info',
  ])
  const { view, coded } = await useView(redis.url.replace('redis://', 'redis://bare:secret@'))
  view.listenerId = 1
  for (let look = 0; look < 3; look++) await view.check()
  expect([await view.overran(), await view.overran()]).toEqual([false, false])
  expect(coded('relay.redis.not_told')).toHaveLength(3)
})
