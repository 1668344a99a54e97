import { expect, test } from 'vitest'
import { formatPacket, parseId, stateKeys } from '../../../src/protocol/index.ts'
import { arrivedAt, gapsOf } from '../../support/arrived.ts'
import { readMetric } from '../../support/metrics.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { startRelayProcess } from '../../support/relay-process.ts'
import { useFolder, useRelay, waitFor, type UseRelayOptions } from '../../support/relay.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'

const { campaigns, agentsOf } = stateKeys()

/** A dialler's Redis with two campaigns, and `count` agents in the first of them. */
async function useDialler(count = 2) {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  await client.hSet(campaigns, { 12: 'started', 'old:1': 'completed' })
  const agents = Array.from(
    { length: count },
    (_, n) => [String(1_001 + n), n % 2 === 0 ? 'available' : 'busy'] as const,
  )
  await client.hSet(agentsOf('12'), Object.fromEntries(agents))
  const arrived = async (route = 'agents-status') =>
    (await arrivedAt(sqs, route)).map((event) => {
      const { payload } = JSON.parse(String(event.data)) as { payload: { status: string; campaign_ref?: string } }
      return { ...event, ...payload }
    })
  return {
    redis,
    sqs,
    client,
    arrived,
    start: (own: Partial<UseRelayOptions> = {}) => useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, ...own }),
    /** Ends the subscription, which is a gap. */
    cut: () => client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub']),
  }
}

test('at the start and after a gap the relay sends the states that the dialler stores, with the time at which the gap ended', async () => {
  const { client, sqs, arrived, start, cut } = await useDialler()
  const relay = await start()
  await waitFor(async () => (await arrived()).length === 2, 'the states at the start')
  const first = await arrived()
  expect(first.map(({ subject, status, campaign_ref }) => [subject, status, campaign_ref])).toEqual(
    expect.arrayContaining([
      ['1001', 'available', '12'],
      ['1002', 'busy', '12'],
    ]),
  )
  expect(first[0]).toMatchObject({
    transport: 'resync',
    source: '/enigma/main',
    type: 'enigma.agents.status',
    channel: `enigma:notifications:agents:${first[0]?.subject}`,
  })
  await waitFor(async () => (await arrived('campaigns-status')).length === 2, 'the states of the campaigns')
  expect((await arrived('campaigns-status')).map(({ subject, status }) => [subject, status])).toEqual(
    expect.arrayContaining([
      ['12', 'started'],
      ['old:1', 'completed'],
    ]),
  )
  await waitFor(() => relay.coded('relay.resync.done').length === 1, 'the resync to be done')

  await client.hSet(agentsOf('12'), '1001', 'wrapup')
  await cut()
  await waitFor(async () => (await arrived()).length === 4, 'the states after the gap')
  const again = (await arrived()).slice(2)
  expect(again.find(({ subject }) => subject === '1001')?.status).toBe('wrapup')
  const [gap] = await gapsOf(sqs)
  for (const { time } of again) expect(Date.parse(time)).toBe(gap?.toMs)
  const ids = (await arrived()).map(({ id }) => id)
  expect(new Set(ids).size).toBe(4)
  for (const id of ids) expect(parseId(id)).toMatchObject({ source: 'main', transport: 'resync' })
  expect(await readMetric(relay.address, 'received_total', { transport: 'resync' })).toBe(8)
})

test('the next part of a large hash is read once SQS has accepted the previous one, and every state arrives once', async () => {
  const { sqs, arrived, start } = await useDialler(1_500)
  sqs.state.answer = () => ({ status: 503, code: 'ServiceUnavailable' })
  const relay = await start()
  await waitFor(async () => (await readMetric(relay.address, 'held')) > 0, 'the first portion')
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  expect(await readMetric(relay.address, 'held')).toBe(200)
  sqs.state.answer = () => 'accept'
  await waitFor(() => relay.coded('relay.resync.done').length === 1, 'the resync to be done')
  const refs = (await arrived()).map(({ subject }) => subject)
  expect([refs.length, new Set(refs).size]).toEqual([1_500, 1_500])
})

test('a status that is published while the states are read is not older than they are', async () => {
  const { client, arrived, start } = await useDialler()
  await start()
  const packet = formatPacket({ type: 'status', payload: { ref: '1001', status: 'busy', campaign_ref: '12' } })
  await client.publish('enigma:notifications:agents:1001', packet)
  await waitFor(async () => (await arrived()).length === 3, 'all states')
  const [heard] = (await arrived()).filter(({ transport }) => transport === 'pubsub')
  for (const { transport, time } of await arrived())
    if (transport === 'resync') expect(Date.parse(time)).toBeLessThanOrEqual(Date.parse(heard?.time ?? ''))
})

test(
  'a relay that is killed during a resync sends all states again at its next start, with new ids',
  { timeout: 60_000 },
  async () => {
    const { redis, sqs, arrived } = await useDialler(600)
    const options = { redisUrl: redis.url, endpoint: sqs.endpoint, dataDir: await useFolder() }
    // States that were accepted before the kill arrive twice.
    sqs.state.answer = async () => ((await arrived()).length === 0 ? 'accept' : 'hang')
    const former = startRelayProcess(options)
    await former.ready()
    await waitFor(async () => (await arrived()).length > 0, 'some of the states')
    expect(await former.kill('SIGKILL')).toMatchObject({ signal: 'SIGKILL' })
    const before = (await arrived()).length
    expect(before).toBeLessThan(600)
    sqs.state.answer = () => 'accept'
    startRelayProcess(options)
    await waitFor(async () => (await arrived()).length === before + 600, 'all states')
    const all = await arrived()
    expect([
      new Set(all.slice(before).map(({ subject }) => subject)).size,
      new Set(all.map(({ id }) => id)).size,
    ]).toEqual([600, before + 600])
  },
)

test.each<[string, Partial<UseRelayOptions>, string[]]>([
  ['ENIGMA_RESYNC=none', { env: { ENIGMA_RESYNC: 'none' } }, []],
  ['a pattern of one agent', { channels: ['enigma:notifications:agents:1002'] }, ['1002']],
  ['a pattern in the singular', { channels: ['enigma:notifications:agent:*'] }, ['1001', '1002']],
  ['other keys', { env: { ENIGMA_RESYNC: 'acme' } }, ['7']],
])('a resync sends only the states that the settings ask for: %s', async (_, own, expected) => {
  const { client, arrived, start } = await useDialler()
  await client.hSet('acme:campaigns', 'c', 'started')
  await client.hSet('acme:campaign:c:agents', { 7: 'busy', '': 'busy', 8: '{"status":"busy"}' })
  const relay = await start(own)
  if (expected.length > 0) await waitFor(() => relay.coded('relay.resync.done').length > 0, 'the resync to be done')
  else await new Promise((resolve) => setTimeout(resolve, 2_500))
  expect((await arrived()).map(({ subject }) => String(subject)).toSorted()).toEqual(expected)
})

test('absent or unreadable hashes are logged once, even after further gaps', async () => {
  const { client, arrived, start, cut, redis } = await useDialler()
  const rules = ['~enigma:notifications*', '~enigma:relay:*', '&enigma:notifications*', '&enigma:relay:*', '+@all']
  const set = (...more: string[]) =>
    client.sendCommand(['ACL', 'SETUSER', 'relay', 'reset', 'on', '>hunter2', ...rules, ...more])
  await set()
  const relay = await start({ redisUrl: `redis://relay:hunter2@127.0.0.1:${redis.port}` })
  const gaps = () => readMetric(relay.address, 'gaps_total')
  await waitFor(() => relay.coded('relay.resync.refused').length === 1, 'the refusal')
  for (let count = 1; count <= 2; count++) {
    await cut()
    await waitFor(async () => (await gaps()) === count, 'a gap')
    await new Promise((resolve) => setTimeout(resolve, 1_500))
  }
  expect(relay.coded('relay.resync.refused')).toHaveLength(1)
  expect([relay.coded('relay.resync.absent'), await arrived()]).toEqual([[], []])
  // With access to the campaigns only, their states are sent.
  await set('~enigma:campaigns')
  await cut()
  await waitFor(async () => (await arrived('campaigns-status')).length === 2, 'the campaigns')
  await client.del(campaigns)
  for (let count = 4; count <= 5; count++) {
    await cut()
    await waitFor(async () => (await gaps()) === count, 'a gap')
    await new Promise((resolve) => setTimeout(resolve, 1_500))
  }
  expect(relay.coded('relay.resync.absent')).toHaveLength(1)
})

test('a server without HSCAN is read by HGETALL', async () => {
  const { client, arrived, start, redis } = await useDialler()
  await client.sendCommand(['ACL', 'SETUSER', 'old', 'on', '>hunter2', '~*', '&*', '+@all', '-hscan'])
  await start({ redisUrl: `redis://old:hunter2@127.0.0.1:${redis.port}` })
  await waitFor(async () => (await arrived()).length === 2, 'the states')
})
