import { CreateQueueCommand, DeleteQueueCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs'
import { hash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { readConfig } from '../../../src/relay/index.ts'
import { createCommandPoller } from '../../../src/relay/parking/command-poller.ts'
import { openTargets } from '../../../src/relay/targets/target.ts'
import { useCommandQueue } from '../../support/commands.ts'
import { captureLog } from '../../support/log.ts'
import { PARKED_LIST, parkedEntries, parkedEntry } from '../../support/parked.ts'
import { expectPrivate } from '../../support/privacy.ts'
import { useProxy } from '../../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { receiveAll, useFolder, waitFor } from '../../support/relay.ts'
import { ROUTES } from '../../support/routes.ts'
import { useSqs } from '../../support/sqs.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'

beforeAll(() => {
  process.env['AWS_ACCESS_KEY_ID'] ??= 'test'
  process.env['AWS_SECRET_ACCESS_KEY'] ??= 'test'
})

type Options = { readonly endpoint: string; readonly redisUrl: string; readonly sources?: readonly string[] }

/** Runs the poller of a relay until the test ends. It waits 50 ms before it polls again. */
async function usePoller({ endpoint, redisUrl, sources = ['main'] }: Options, dataDir?: string) {
  const config = readConfig({
    AWS_ENDPOINT_URL_SQS: endpoint,
    AWS_REGION: 'us-east-1',
    ENIGMA_SOURCES: sources.map((id) => `${id}=${redisUrl}`).join(','),
  })
  const targets = openTargets(config, ROUTES, { requestTimeoutMs: 10_000 })
  const sqs = targets.sqs as NonNullable<typeof targets.sqs>
  const { log, lines, coded } = captureLog()
  const folder = dataDir ?? (await useFolder())
  const end = new AbortController()
  const poller = createCommandPoller({
    sqs,
    targets,
    queuePrefix: 'enigma-',
    routes: ROUTES,
    dataDir: folder,
    findSource: (sourceId) => config.sources.find(({ id }) => id === sourceId),
    log,
    asideMs: 50,
    lookMs: 50,
  })
  const running = poller.run(end.signal)
  onTestFinished(async () => {
    end.abort()
    await running
    targets.destroy()
    expectPrivate(lines, 'the log of the commands')
  })
  return { coded, folder }
}

async function useParked(entries: readonly string[]) {
  const { url } = await useRedisServer()
  const redis = await useRedisClient(url)
  if (entries.length > 0) await redis.rPush(PARKED_LIST, [...entries])
  return { redisUrl: url, redis, left: () => redis.lLen(PARKED_LIST) }
}

test('commands retry and drop entries; an invalid command, or one with unknown ids, is logged and removed', async () => {
  const sqs = await useSqs()
  const commands = await useCommandQueue(sqs)
  const entries = parkedEntries(4)
  const { redisUrl, left } = await useParked(entries.map(({ entry }) => entry))
  const [a = '', b = '', c = '', d = ''] = entries.map(({ id }) => id)
  await commands.send({ ids: [b, a] })
  await commands.sendBody('drop everything', 'main')
  await commands.send({ ids: ['main/l/9/9'] })
  await commands.send({ action: 'drop', ids: [c, a], operator: 'bob' })
  const { coded } = await usePoller({ endpoint: sqs.endpoint, redisUrl })
  await waitFor(async () => (await commands.size()) === 0 && (await left()) === 1, 'all commands')
  expect((await receiveAll(sqs, 'campaigns-cdr', 2)).map(({ id }) => id).toSorted()).toEqual([a, b])
  const notices = await receiveAll(sqs, 'relay-parked', 3)
  const told = notices.map(({ subject, data }) => `${subject} ${/"state":"(\w+)"/.exec(String(data))?.[1]}`)
  expect(told.toSorted()).toEqual([`${a} retried`, `${b} retried`, `${c} dropped`])
  await waitFor(() => coded('relay.commands.done').length === 2, 'the log')
  expect(coded('relay.commands.done')).toMatchObject([
    { source: 'main', action: 'retry', operator: 'jane', asked: 2, done: 2 },
    { source: 'main', action: 'drop', operator: 'bob', asked: 2, done: 1 },
  ])
  expect(coded('relay.commands.invalid')).toHaveLength(1)
  expect(coded('relay.commands.unknown_ids')).toMatchObject([{ ids: ['main/l/9/9'] }])
  expect([d, await left()]).toEqual([entries[3]?.id, 1])
})

test('a command waits while the queue of its entries is missing, and is done once it exists; an unreadable entry stays parked', async () => {
  const sqs = await useSqs()
  const commands = await useCommandQueue(sqs, 1)
  const [first, second] = parkedEntries(2)
  const broken = parkedEntry(3).entry.replace('"parkedat":"', '"parkedat":"x')
  const { redisUrl, left, redis } = await useParked([first?.entry ?? '', second?.entry ?? '', broken])
  const QueueUrl = sqs.url('campaigns-cdr')
  await sqs.sqs.send(new DeleteQueueCommand({ QueueUrl }))
  await commands.send({ ids: [first?.id ?? '', second?.id ?? ''] })
  const { coded } = await usePoller({ endpoint: sqs.endpoint, redisUrl })
  await waitFor(() => coded('relay.commands.failed').length > 0, 'the failure', 40_000)
  expect([await commands.size(), await left()]).toEqual([1, 3])
  const Attributes = { FifoQueue: 'true', MaximumMessageSize: '1048576' }
  await sqs.sqs.send(new CreateQueueCommand({ QueueName: 'enigma-campaigns-cdr.fifo', Attributes }))
  await waitFor(async () => (await commands.size()) === 0, 'the next attempt', 40_000)
  expect((await receiveAll(sqs, 'campaigns-cdr', 2)).map(({ id }) => id)).toEqual([first?.id, second?.id])
  // One line for all attempts. An entry that cannot be sent causes no further attempt.
  expect(coded('relay.commands.failed')).toHaveLength(1)
  const unreadable = `unreadable/${hash('sha256', broken).slice(0, 16)}`
  await commands.send({ ids: [unreadable] })
  await waitFor(() => coded('relay.commands.incomplete').length === 1, 'the answer')
  expect(coded('relay.commands.incomplete')).toMatchObject([{ asked: 1, done: 0, stay: 1 }])
  await waitFor(async () => (await commands.size()) === 0, 'the command to be removed')
  expect(await redis.lRange(PARKED_LIST, 0, -1)).toEqual([broken])
})

test('without the right to remove an entry, nothing is sent, and the command stays', async () => {
  const sqs = await useSqs()
  const commands = await useCommandQueue(sqs, 1)
  const { redisUrl, redis, left } = await useParked([parkedEntry(1).entry])
  await redis.sendCommand(['ACL', 'SETUSER', 'relay', 'on', '>pw', '~*', '&*', '+@all', '-lrem'])
  await commands.send({ ids: [parkedEntry(1).id] })
  const url = new URL(redisUrl)
  Object.assign(url, { username: 'relay', password: 'pw' })
  const { coded } = await usePoller({ endpoint: sqs.endpoint, redisUrl: url.href.replace(/\/$/, '') })
  await waitFor(() => coded('relay.commands.failed').length > 0, 'the failure')
  expect(coded('relay.commands.failed')[0]?.['error']).toMatch(/NOPERM/)
  expect([await commands.size(), await left()]).toEqual([1, 1])
  const { Messages = [] } = await sqs.sqs.send(new ReceiveMessageCommand({ QueueUrl: sqs.url('campaigns-cdr') }))
  expect(Messages).toEqual([])
})

test('each of two relays runs the commands of its sources, even while commands for an unknown source wait', async () => {
  const sqs = await useSqs()
  const commands = await useCommandQueue(sqs)
  const one = await useParked(parkedEntries(3).map(({ entry }) => entry))
  const two = await useParked(parkedEntries(3).map(({ entry }) => entry))
  const ids = parkedEntries(3).map(({ id }) => id)
  for (let n = 0; n < 3; n++) await commands.send({ source: 'nobody', ids: [ids[n] ?? ''] })
  const first = await usePoller({ endpoint: sqs.endpoint, redisUrl: one.redisUrl, sources: ['one'] })
  const second = await usePoller({ endpoint: sqs.endpoint, redisUrl: two.redisUrl, sources: ['two'] })
  for (const id of ids) for (const source of ['two', 'one']) await commands.send({ source, ids: [id], action: 'drop' })
  await waitFor(async () => (await one.left()) + (await two.left()) === 0, 'both to be done')
  await waitFor(async () => (await commands.size()) === 3, 'their commands to be removed')
  await waitFor(
    () => first.coded('relay.commands.done').length + second.coded('relay.commands.done').length === 6,
    'log',
  )
  const sourcesOf = (lines: readonly Record<string, unknown>[]) => lines.map(({ source }) => source)
  expect(sourcesOf(first.coded('relay.commands.done'))).toEqual(['one', 'one', 'one'])
  expect(sourcesOf(second.coded('relay.commands.done'))).toEqual(['two', 'two', 'two'])
})

test('an entry in the file of another relay of the source is found by that relay', async () => {
  const sqs = await useSqs()
  const commands = await useCommandQueue(sqs)
  const [listed, filed] = parkedEntries(2)
  const { redisUrl, redis, left } = await useParked([listed?.entry ?? ''])
  const [here, there] = [await useFolder(), await useFolder()]
  const file = join(there, 'parked.main.b.jsonl')
  await writeFile(file, `${filed?.entry}\n`)
  await redis.hSet('enigma:relay:parked:files', { b: `${hostname()}:${file}` })
  const a = await usePoller({ endpoint: sqs.endpoint, redisUrl }, here)
  await commands.send({ ids: [listed?.id ?? '', filed?.id ?? ''] })
  await waitFor(async () => (await left()) === 0, 'the first to take its part')
  const b = await usePoller({ endpoint: sqs.endpoint, redisUrl }, there)
  await waitFor(async () => (await commands.size()) === 0, 'the command to be removed')
  const sent = await receiveAll(sqs, 'campaigns-cdr', 2)
  expect(sent.map(({ id }) => id).toSorted()).toEqual([listed?.id ?? '', filed?.id ?? ''].toSorted())
  await waitFor(() => b.coded('relay.commands.done').length === 1, 'the log')
  expect(a.coded('relay.commands.failed')).toEqual([])
})

test('a missing queue or right is logged once, and the poller continues once the queue exists or the right is granted', async () => {
  const sqs = await useSqs()
  const commands = await useCommandQueue(sqs)
  await sqs.sqs.send(new DeleteQueueCommand({ QueueUrl: commands.url }))
  const { redisUrl, redis, left } = await useParked([parkedEntry(1).entry])
  const { coded } = await usePoller({ endpoint: sqs.endpoint, redisUrl })
  await waitFor(() => coded('relay.commands.off').length > 0, 'the line')
  const Attributes = { FifoQueue: 'true', DeduplicationScope: 'messageGroup', FifoThroughputLimit: 'perMessageGroupId' }
  await sqs.sqs.send(new CreateQueueCommand({ QueueName: 'enigma-relay-commands.fifo', Attributes }))
  await commands.send({ ids: [parkedEntry(1).id] })
  await waitFor(async () => (await left()) === 0, 'the command')
  expect(coded('relay.commands.off')).toHaveLength(1)
  await waitFor(() => coded('relay.commands.on').length === 1, 'the line')

  const faults = await useSqsFaults()
  faults.state.refuse = (queue) => (queue.includes('commands') ? 'AccessDenied' : undefined)
  const proxy = await useProxy(faults.port)
  const denied = await usePoller({ endpoint: `http://127.0.0.1:${proxy.port}`, redisUrl })
  await waitFor(() => denied.coded('relay.commands.off').length > 0, 'the line about rights')
  faults.state.refuse = () => 'RequestThrottled'
  await waitFor(() => denied.coded('relay.commands.unavailable').length > 0, 'the line about SQS')
  expect(denied.coded('relay.commands.off')).toHaveLength(1)
  const granted = await useSqs()
  await redis.rPush(PARKED_LIST, parkedEntry(2).entry)
  await (await useCommandQueue(granted)).send({ ids: [parkedEntry(2).id] })
  proxy.retarget(Number(new URL(granted.endpoint).port))
  proxy.cut()
  await waitFor(async () => (await left()) === 0, 'the command after the right was granted')
  expect(denied.coded('relay.commands.on')).toHaveLength(1)
})
