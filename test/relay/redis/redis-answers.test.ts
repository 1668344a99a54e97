import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { describe } from '../../../src/relay/relay-error.ts'
import { createRelay, readConfig } from '../../../src/relay/index.ts'
import { lookAtRedis } from '../../support/doctor.ts'
import { captureLog } from '../../support/log.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { relayEnv, useFolder, useRelay, waitFor } from '../../support/relay.ts'
import { useReservedPort } from '../../support/reserved-port.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'
import { ROUTES } from '../../support/routes.ts'

const LIST = 'enigma:notifications:campaigns'

type Parts = Record<string, { readonly ok: boolean; readonly reason?: string }>
const readParts = async (address: string) =>
  ((await (await fetch(`${address}/readyz`)).json()) as { parts: Parts }).parts

/** A relay for this address that need not become ready. */
async function startRelay(url: string, env: Record<string, string> = {}) {
  const [sqs, folder] = [await useSqsFaults(), await useFolder()]
  const listening = Promise.withResolvers<string>()
  const config = readConfig(relayEnv({ redisUrl: url, endpoint: sqs.endpoint, lists: [LIST], env }, folder))
  const abort = new AbortController()
  const capture = captureLog()
  const running = createRelay({ config, routes: ROUTES, log: capture.log, onListening: listening.resolve }).run(
    abort.signal,
  )
  onTestFinished(async () => {
    abort.abort()
    await running
  })
  return { ...capture, address: await listening.promise }
}

/** A server that does this with each connection. */
async function useServer(onConnection: (socket: Socket) => void) {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    onConnection(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `redis://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A server that answers every command with this error. */
const useErrors = (words: string) =>
  useServer((socket) =>
    socket.on('data', (chunk) => {
      // A command is an array of bulk strings; each array is answered once.
      const commands = chunk.toString('latin1').match(/(^|\r\n)\*\d+\r\n/g)?.length ?? 1
      socket.write(`-${words}\r\n`.repeat(commands))
    }),
  )

test.each([
  ['MISCONF Redis is configured to save RDB snapshots, but it is unable to persist to disk', 'writes_refused'],
  ['BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.', 'busy'],
  ['NOAUTH Authentication required.', 'access_denied'],
  ['LOADING Redis is loading the dataset in memory', 'loading'],
  ["MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", 'primary_down'],
  ['CLUSTERDOWN The cluster is down', 'cluster'],
  ["NOPERM User relay has no permissions to run the 'ping' command", 'no_permission'],
  ['ERR the proxy has lost its backend', 'error_reply'],
  ['FROBNICATED words that nobody has seen before', 'error_reply'],
])('log, readiness and doctor quote the error of Redis: %s', async (words, event) => {
  const url = await useErrors(words)
  const relay = await startRelay(url)
  await waitFor(() => relay.coded(`relay.redis.${event}`).length > 0, 'it to be said')
  expect(relay.coded(`relay.redis.${event}`)).toMatchObject([
    { error: expect.stringContaining(words.slice(0, 60)) as string },
  ])
  const part = (await readParts(relay.address))['redis:main']
  expect(part).toMatchObject({ ok: false, reason: expect.stringContaining(words.slice(0, 60)) as string })
  expect([...relay.coded('relay.redis.unreachable'), ...relay.coded('relay.redis.no_answer')]).toEqual([])
  const found = Object.values(await lookAtRedis(url)).filter(({ state }) => state === 'fail')
  expect(found.map(({ code }) => code)).toContain(`doctor.redis.${event}`)
  expect(found.some(({ text }) => text.includes(words.slice(0, 60)))).toBe(true)
})

test('Pub/Sub stays ready while Redis refuses writes: lists and Pub/Sub are judged separately', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  let jumpMs = 0
  const relay = await useRelay({
    redisUrl: redis.url,
    endpoint: sqs.endpoint,
    lists: [LIST],
    now: () => Date.now() + jumpMs,
  })
  // A primary that must not write without replicas answers NOREPLICAS.
  await client.configSet('min-replicas-to-write', '1')
  // Otherwise the blocking wait for an item lasts its full three seconds.
  const waiter = (await client.clientList()).find(({ cmd }) => cmd === 'brpoplpush')
  await client.sendCommand(['CLIENT', 'UNBLOCK', String(waiter?.id)])
  await client.publish('enigma:notifications:agents:1', '{"type":"stats","payload":{"ref":"1"}}')
  await waitFor(() => relay.coded('relay.list.failed').length > 0, 'the list to be refused')
  jumpMs = 11_000
  await waitFor(async () => (await readParts(relay.address))[`list:main:${LIST}`]?.ok === false, 'it to be not ready')
  await waitFor(async () => (await readParts(relay.address))['pubsub:main']?.ok === true, 'the heartbeat')
  const parts = await readParts(relay.address)
  expect(parts[`list:main:${LIST}`]?.reason).toContain('NOREPLICAS')
  expect(parts['redis:main']).toMatchObject({ ok: true })
  await client.configSet('min-replicas-to-write', '0')
  await waitFor(async () => (await readParts(relay.address))[`list:main:${LIST}`] === undefined, 'it to be taken again')
})

test('a server at its client limit is reported with its reason, and the relay connects once there is room', async () => {
  const redis = await useRedisServer({ args: ['--maxclients', '1'] })
  const client = await useRedisClient(redis.url)
  const relay = await startRelay(redis.url)
  await waitFor(() => relay.coded('relay.redis.max_clients').length > 0, 'the reason')
  expect(relay.coded('relay.redis.max_clients')).toMatchObject([
    { error: expect.stringContaining('max number of clients') as string },
  ])
  expect((await readParts(relay.address))['redis:main']?.reason).toContain('max number of clients reached')
  expect(await lookAtRedis(redis.url)).toEqual({
    answer: expect.objectContaining({
      code: 'doctor.redis.max_clients',
      text: expect.stringContaining('max number of clients reached') as string,
    }) as unknown,
  })
  await client.configSet('maxclients', '100')
  await waitFor(async () => (await readParts(relay.address))['redis:main']?.ok === true, 'it to be ready')
  expect(relay.coded('relay.redis.recovered').length).toBeGreaterThan(0)
})

test.each([
  [
    '-DENIED Redis is running in protected mode because it has no password\r\n',
    'protected_mode',
    'running in protected mode',
  ],
  ['-ERR the proxy has no backend\r\n', 'error_reply', 'the proxy has no backend'],
  ['HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n', 'not_redis', 'HTTP/1.1 400 Bad Request'],
  ['SSH-2.0-OpenSSH_9.6\r\n', 'not_redis', 'SSH-2.0-OpenSSH_9.6'],
])('the text that a server sends before it closes the connection is the reason: %j', async (words, event, said) => {
  const url = await useServer((socket) => socket.end(words))
  const relay = await startRelay(url)
  await waitFor(() => relay.coded(`relay.redis.${event}`).length > 0, 'the reason')
  expect((await readParts(relay.address))['redis:main']?.reason).toContain(said)
  expect(await lookAtRedis(url)).toEqual({
    answer: expect.objectContaining({
      code: `doctor.redis.${event}`,
      text: expect.stringContaining(said) as string,
    }) as unknown,
  })
})

test('log and doctor show an IPv6 address in brackets, and the relay can connect to it', async () => {
  const port = await useReservedPort()
  const url = `redis://[::1]:${port}`
  const relay = await startRelay(url, { ENIGMA_HTTP: '[::1]:0' })
  expect(relay.address).toMatch(/^http:\/\/\[::1\]:\d+$/)
  await waitFor(() => relay.coded('relay.redis.unreachable').length > 0, 'it to be said')
  expect(relay.coded('relay.redis.unreachable')[0]?.['error']).toBe(`connect ECONNREFUSED [::1]:${port}`)
  expect((await lookAtRedis(url))['answer']).toMatchObject({
    code: 'doctor.redis.unreachable',
    text: expect.stringContaining(`[::1]:${port}`) as string,
  })
  expect(
    describe(Object.assign(new Error('connect ETIMEDOUT fe80::1%eth0:80'), { address: 'fe80::1%eth0', port: 80 })),
  ).toBe('connect ETIMEDOUT [fe80::1%eth0]:80')
  await useRedisServer({ port, args: ['--bind', '::1'] })
  await waitFor(async () => (await readParts(relay.address))['redis:main']?.ok === true, 'it to be connected')
  expect((await lookAtRedis(url))['memory']?.state).toBe('ok')
})
