import { DeleteQueueCommand, SetQueueAttributesCommand } from '@aws-sdk/client-sqs'
import { randomBytes } from 'node:crypto'
import { expect, test, vi } from 'vitest'
import { fromSqs } from '../../src/adapter/index.ts'
import { createApi } from '../../src/api/index.ts'
import { app as relayApp } from '../../src/api/relay-functions.ts'
import { formatPacket, RELAY_ROUTES } from '../../src/protocol/index.ts'
import type { AuditPage, BinPage, ParkedPage, Replay } from '../../src/store/index.ts'
import { useCommandQueue } from '../support/commands.ts'
import { useEnv } from '../support/env.ts'
import { CAMPAIGNS } from '../support/load.ts'
import { PARKED_LIST, parkedEntries } from '../support/parked.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { receiveAll, useFolder, waitFor } from '../support/relay.ts'
import { startRelayProcess } from '../support/relay-process.ts'
import { useSqs } from '../support/sqs.ts'
import { useStore } from '../support/store.ts'
import { useTrigger } from '../support/triggers.ts'

const TOKEN = 'o'.repeat(40)

/** Queues, the function that receives the notices of parked notifications, and the API as deployed. */
async function useOperators() {
  const [sqs, model] = [await useSqs(), await useStore()]
  const commands = await useCommandQueue(sqs)
  useEnv({
    UPSTASH_REDIS_REST_URL: model.proxy.url,
    UPSTASH_REDIS_REST_TOKEN: 'test-token',
    ENIGMA_QUEUE_PREFIX: 'enigma-',
    API_TOKENS: `jane:operate:${TOKEN}`,
    AWS_ENDPOINT_URL_SQS: sqs.endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  })
  vi.resetModules()
  const { apiOptions, wire } = await import('../../src/lambda/wiring.ts')
  await useTrigger(sqs, 'relay-parked', fromSqs(relayApp, { ...wire(RELAY_ROUTES.parked), log: () => undefined }))
  const api = createApi(await apiOptions())
  const ask = async <Answer>(path: string, body?: unknown) => {
    const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' }
    const response = await api.request(path, {
      headers,
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    })
    return { status: response.status, answer: (await response.json()) as Answer & { detail: string } }
  }
  const parked = async () => (await ask<ParkedPage>('/parked?from=relay')).answer.items.map(({ id }) => id)
  return { sqs, commands, ask, parked }
}

type Servers = Pick<Awaited<ReturnType<typeof useOperators>>, 'sqs'>

/** A dialler's Redis, and relays that read it. */
async function useDialler({ sqs }: Servers, source = 'main') {
  const { url } = await useRedisServer()
  const client = await useRedisClient(url)
  const start = async (env: Record<string, string> = {}) => {
    const relay = startRelayProcess({
      redisUrl: url,
      endpoint: sqs.endpoint,
      lists: [CAMPAIGNS],
      channels: ['none'],
      dataDir: await useFolder(),
      env: { ENIGMA_SOURCES: `${source}=${url}`, ENIGMA_RELAY_ID: source, ENIGMA_COMMANDS: 'queue', ...env },
    })
    await relay.ready()
    return relay
  }
  return { client, start, left: () => client.lLen(PARKED_LIST) }
}

/** A CDR that stays large when it is gzipped. */
const largeCdr = (n: number) =>
  formatPacket({
    type: 'cdr',
    payload: { call_ref: n, dialed_at: 1_764_000_000, note: randomBytes(40_000).toString('base64') },
  })

const limitQueue = ({ sqs }: Servers, bytes: number) =>
  sqs.sqs.send(
    new SetQueueAttributesCommand({
      QueueUrl: sqs.url('campaigns-cdr'),
      Attributes: { MaximumMessageSize: String(bytes) },
    }),
  )

test(
  'the API replays and deletes entries that the relay parked, and the relay’s notices remove them from the list',
  { timeout: 90_000 },
  async () => {
    const world = await useOperators()
    const { sqs, commands, ask, parked } = world
    const { client, start, left } = await useDialler(world)
    await limitQueue(world, 20_000)
    const relay = await start()
    const packets = [1, 2, 3, 4].map(largeCdr)
    // One at a time, since packets of different lanes are parked in any order.
    for (const [at, packet] of packets.entries()) {
      await client.lPush(CAMPAIGNS, packet)
      await waitFor(async () => (await parked()).length === at + 1, 'it to be parked', 30_000)
    }
    // The newest first.
    const [d = '', c = '', b = '', a = ''] = await parked()

    const refused = await ask<{ parameter: string }>('/parked/delete', { ids: [b] })
    expect([refused.status, refused.answer.parameter]).toEqual([400, 'forever'])

    await limitQueue(world, 1_048_576)
    const sent = await ask<Replay>('/replays', { ids: [a] })
    expect([sent.status, sent.answer]).toMatchObject([202, { state: 'done', relay: 1, operator: 'jane' }])
    const dropped = await ask('/parked/delete', { ids: [b], forever: true })
    expect(dropped).toMatchObject({ status: 200, answer: { moved: 0, skipped: 0, asked: 1, more: false } })
    await waitFor(async () => (await parked()).length === 2, 'both to leave the list', 30_000)
    expect((await receiveAll(sqs, 'campaigns-cdr', 1)).map(({ id, data }) => [id, data])).toEqual([[a, packets[0]]])
    expect((await ask<BinPage>('/bin')).answer.items).toEqual([])

    const rest = await ask<Replay>('/replays', { filter: { from: 'relay', route: 'campaigns-cdr' } })
    expect(rest.answer).toMatchObject({ relay: 2 })
    await waitFor(async () => (await parked()).length === 0, 'the rest to leave the list', 30_000)
    expect((await receiveAll(sqs, 'campaigns-cdr', 2)).map(({ id }) => id).toSorted()).toEqual([c, d].toSorted())
    await waitFor(async () => (await commands.size()) === 0, 'the commands to be removed')
    expect(await left()).toBe(0)
    expect((await ask<AuditPage>('/audit')).answer.items.map(({ action, count }) => [action, count])).toEqual([
      ['replay', 2],
      ['drop', 1],
      ['replay', 1],
    ])
    expect((await relay.readiness()).status).toBe(200)
    await waitFor(() => relay.coded('relay.commands.done').length === 3, 'the log')
    expect(relay.coded('relay.commands.done')[0]).toMatchObject({ operator: 'jane', source: 'main' })
    // It stops at once, although it waits for commands.
    expect(await relay.kill('SIGTERM')).toMatchObject({ code: 0 })
  },
)

test(
  'G1: when a relay is killed in the middle of a command, the next one completes it, and each entry arrives',
  { timeout: 90_000 },
  async () => {
    const sqs = await useSqs()
    const commands = await useCommandQueue(sqs)
    const { client, start, left } = await useDialler({ sqs })
    const entries = parkedEntries(400)
    await client.rPush(
      PARKED_LIST,
      entries.map(({ entry }) => entry),
    )
    const first = await start({ ENIGMA_RELAY_ID: 'first' })
    await commands.send({ ids: entries.map(({ id }) => id) })
    await waitFor(async () => (await left()) < 400, 'the command to begin')
    await first.kill('SIGKILL')
    const rest = await left()
    expect(rest).toBeGreaterThan(0)
    const second = await start({ ENIGMA_RELAY_ID: 'second' })
    await waitFor(async () => (await left()) === 0 && (await commands.size()) === 0, 'the command to be done', 60_000)
    // Copies have the same deduplication id, so SQS has each entry once.
    const arrived = await receiveAll(sqs, 'campaigns-cdr', 400)
    expect(arrived.map(({ id }) => id).toSorted()).toEqual(entries.map(({ id }) => id).toSorted())
    await waitFor(() => second.coded('relay.commands.done').length === 1, 'the log')
    expect(second.coded('relay.commands.done')).toMatchObject([{ asked: 400, done: rest }])
  },
)

test(
  'two relays of two sources carry out their own commands; one with ENIGMA_COMMANDS=none takes none',
  { timeout: 90_000 },
  async () => {
    const sqs = await useSqs()
    const commands = await useCommandQueue(sqs)
    const [one, two] = [await useDialler({ sqs }, 'one'), await useDialler({ sqs }, 'two')]
    const entries = parkedEntries(2)
    for (const { client } of [one, two])
      await client.rPush(
        PARKED_LIST,
        entries.map(({ entry }) => entry),
      )
    const silent = await one.start({ ENIGMA_COMMANDS: 'none', ENIGMA_RELAY_ID: 'silent' })
    const ofTwo = await two.start()
    const ids = entries.map(({ id }) => id)
    for (const source of ['one', 'two']) await commands.send({ source, ids, action: 'drop' })
    await waitFor(async () => (await two.left()) === 0 && (await commands.size()) === 1, 'the command of two', 60_000)
    expect(await one.left()).toBe(2)
    expect(silent.lines.filter(({ code }) => String(code).startsWith('relay.commands.'))).toEqual([])
    const ofOne = await one.start({ ENIGMA_RELAY_ID: 'one' })
    await waitFor(async () => (await one.left()) === 0 && (await commands.size()) === 0, 'the command of one', 60_000)
    await waitFor(() => ofOne.coded('relay.commands.done').length === 1, 'the log')
    const sources = [ofOne, ofTwo].map((relay) => relay.coded('relay.commands.done').map(({ source }) => source))
    expect(sources).toEqual([['one'], ['two']])
  },
)

test(
  'without the command queue, the relay works as before, and the API reports the missing queue',
  { timeout: 60_000 },
  async () => {
    const world = await useOperators()
    const { sqs, commands, ask, parked } = world
    const { client, start } = await useDialler(world)
    await limitQueue(world, 20_000)
    await sqs.sqs.send(new DeleteQueueCommand({ QueueUrl: commands.url }))
    const relay = await start()
    await waitFor(() => relay.coded('relay.commands.off').length === 1, 'the line')
    await client.lPush(CAMPAIGNS, [largeCdr(1), formatPacket({ type: 'cdr', payload: { call_ref: 2 } })])
    expect(await receiveAll(sqs, 'campaigns-cdr', 1)).toHaveLength(1)
    expect((await relay.readiness()).status).toBe(200)
    await waitFor(async () => (await parked()).length === 1, 'it to be parked')
    const { status, answer } = await ask('/replays', { filter: { from: 'relay' } })
    expect([status, answer.detail]).toEqual([503, expect.stringContaining('queue') as string])
    expect(await parked()).toHaveLength(1)
    expect(relay.coded('relay.commands.off')).toHaveLength(1)
  },
)
