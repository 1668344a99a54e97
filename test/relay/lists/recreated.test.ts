import { expect, test } from 'vitest'
import { leaseKey } from '../../../src/relay/redis/relay-keys.ts'
import { arrivedAt } from '../../support/arrived.ts'
import { agentChannel, CAMPAIGNS, cdrOf, statusOf } from '../../support/load.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { useFolder, useRelay, waitFor } from '../../support/relay.ts'
import { startRelayProcess } from '../../support/relay-process.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'

const HOUR_MS = 3_600_000
const CONTAINER = { host: 'container-1', pid: 1, run: 'former' }

test('a container that is recreated on the same volume takes over at once, whatever the lease says', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  const options = { redisUrl: redis.url, endpoint: sqs.endpoint, lists: [CAMPAIGNS] }
  const former = await useRelay(options)
  const { journal } = JSON.parse((await client.get(leaseKey('test'))) ?? '{}') as { journal?: number }
  expect(journal).toBeGreaterThan(0)
  await former.stop()
  // The lease that a killed container leaves.
  await client.set(leaseKey('test'), JSON.stringify({ ...CONTAINER, journal }), { PX: HOUR_MS })
  const next = await useRelay({ ...options, dataDir: former.dataDir })
  await client.lPush(CAMPAIGNS, cdrOf(0))
  await waitFor(async () => (await arrivedAt(sqs, 'campaigns-cdr')).length === 1, 'the CDR')
  expect(next.lines.filter((line) => line.includes('relay.lease.held'))).toEqual([])
})

test('G2: while another relay holds the relay id, Pub/Sub is received and sent, and nothing is taken from the lists', async () => {
  const [redis, sqs, dataDir] = [await useRedisServer(), await useSqsFaults(), await useFolder()]
  const client = await useRedisClient(redis.url)
  await client.set(leaseKey('test'), JSON.stringify({ ...CONTAINER, journal: 1 }), { PX: HOUR_MS })
  const relay = startRelayProcess({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [CAMPAIGNS], dataDir })
  await client.lPush(CAMPAIGNS, cdrOf(0))
  await waitFor(async () => (await relay.readiness()).parts['pubsub:main']?.ok === true, 'Pub/Sub to be heard')
  await client.publish(agentChannel(0), statusOf(0))
  await waitFor(async () => (await arrivedAt(sqs, 'agents-status')).length === 1, 'the status')
  expect(await client.lLen(CAMPAIGNS)).toBe(1)
  expect((await relay.readiness()).parts['lease:main']?.ok).toBe(false)
})
