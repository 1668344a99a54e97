import { expect, test } from 'vitest'
import { leaseKey } from '../../../src/relay/redis/relay-keys.ts'
import { createLease, type LeaseOptions } from '../../../src/relay/redis/lease.ts'
import { captureLog } from '../../support/log.ts'
import { useRedisServer } from '../../support/redis.ts'
import { waitFor } from '../../support/relay.ts'
import { useRelayRedis } from '../../support/relay-redis.ts'

const never = new AbortController().signal

/** Makes leases of one relay id in one Redis, as processes of different hosts and numbers would. */
async function useLeases() {
  const { url } = await useRedisServer()
  const client = await useRelayRedis(url)
  const lease = (options: Partial<LeaseOptions> = {}) => {
    const { log, coded } = captureLog()
    return { ...createLease({ client, relayId: 'test', log, host: 'here', ...options }), coded }
  }
  const holder = async () => JSON.parse((await client.get(leaseKey('test'))) ?? '{}') as { host?: string; pid?: number }
  return { client, lease, holder }
}

test('a free id is taken, and names host and process', async () => {
  const { client, lease, holder } = await useLeases()
  expect(await lease({ pid: 41 }).acquire(never)).toBe(true)
  expect(await holder()).toMatchObject({ host: 'here', pid: 41 })
  const ttl = await client.pTTL(leaseKey('test'))
  expect(ttl).toBeGreaterThan(0)
  expect(ttl).toBeLessThanOrEqual(10_000)
})

test('a recreated container with another host name replaces at once the process that had its journal', async () => {
  const { lease, holder } = await useLeases()
  await lease({ host: 'container-1', pid: 1, journalId: 7, leaseMs: 3_600_000 }).acquire(never)
  const next = lease({ host: 'container-2', pid: 1, journalId: 7 })
  expect(await next.acquire(never)).toBe(true)
  expect(await holder()).toMatchObject({ host: 'container-2', journal: 7 })
  expect(next.coded('relay.lease.held')).toEqual([])
})

test('two relays with copies of one journal do not take the id from each other in turn', async () => {
  const { lease, holder } = await useLeases()
  const first = lease({ host: 'one', journalId: 7, leaseMs: 200 })
  const second = lease({ host: 'two', journalId: 7, leaseMs: 3_600_000 })
  await first.acquire(never)
  const kept = first.keep(never)
  expect(await second.acquire(never)).toBe(true)
  expect(await kept).toBe(false)
  const abort = new AbortController()
  const again = first.acquire(abort.signal)
  await waitFor(() => first.coded('relay.lease.held').length > 0, 'the holder to be named')
  expect(await holder()).toMatchObject({ host: 'two' })
  abort.abort()
  expect(await again).toBe(false)
})

test.each([
  ['a process of the same host', { pid: process.ppid }],
  ['a process with our own number in another container', { pid: process.pid, host: 'elsewhere' }],
  ['a process with another journal', { pid: process.pid, journalId: 8 }],
])('a lease is not taken from %s until it is released, and its holder is logged once', async (_name, options) => {
  const { lease, holder } = await useLeases()
  const former = lease({ ...options, leaseMs: 3_600_000 })
  await former.acquire(never)
  const next = lease({ journalId: 7 })
  let taken = false
  const waiting = next.acquire(never).then((got) => {
    taken = true
    return got
  })
  await waitFor(() => next.coded('relay.lease.held').length > 0, 'the holder to be named')
  expect(taken).toBe(false)
  expect(JSON.stringify(await holder())).toBe(former.holder)
  await former.release()
  expect(await waiting).toBe(true)
  expect(next.coded('relay.lease.held')).toHaveLength(1)
})

test('a lease that is not renewed expires', async () => {
  const { lease, holder } = await useLeases()
  await lease({ host: 'elsewhere', leaseMs: 300 }).acquire(never)
  expect(await lease().acquire(never)).toBe(true)
  expect(await holder()).toMatchObject({ host: 'here' })
})

test('a lease is renewed while it is kept, and keep resolves with true when it is aborted', async () => {
  const { client, lease, holder } = await useLeases()
  const kept = lease({ leaseMs: 200 })
  await kept.acquire(never)
  const { run } = (await holder()) as { run?: string }
  const abort = new AbortController()
  const keeping = kept.keep(abort.signal)
  await client.pExpire(leaseKey('test'), 120)
  await waitFor(async () => (await client.pTTL(leaseKey('test'))) > 120, 'the lease to be renewed')
  expect(await holder()).toMatchObject({ run })
  abort.abort()
  expect(await keeping).toBe(true)
})

test('a lease that has expired is taken again if no other process took it', async () => {
  const { client, lease, holder } = await useLeases()
  const kept = lease({ leaseMs: 200 })
  await kept.acquire(never)
  const abort = new AbortController()
  const keeping = kept.keep(abort.signal)
  await client.del(leaseKey('test'))
  await waitFor(async () => (await holder()).pid === process.pid, 'the lease to be taken again')
  abort.abort()
  expect(await keeping).toBe(true)
})

test('a lease is not steady after a refused renewal or after it has expired, until it has been renewed for a while', async () => {
  const { client, lease } = await useLeases()
  const kept = lease({ leaseMs: 200 })
  expect(kept.steadyMs()).toBe(-Infinity)
  await kept.acquire(never)
  const abort = new AbortController()
  const keeping = kept.keep(abort.signal)
  const isSteady = () => kept.steadyMs() > 150
  await waitFor(isSteady, 'it to have been renewed for a while')
  // Connections stay open, and reads are still answered.
  await client.configSet('min-replicas-to-write', '1')
  await waitFor(() => !isSteady(), 'a renewal to be refused')
  await client.configSet('min-replicas-to-write', '0')
  await waitFor(isSteady, 'it to be renewed again')
  await client.del(leaseKey('test'))
  await waitFor(() => !isSteady(), 'it to be missed')
  abort.abort()
  expect(await keeping).toBe(true)
})

test('keep resolves with false if another process holds the id, and release does not delete that lease', async () => {
  const { client, lease } = await useLeases()
  const kept = lease({ leaseMs: 200 })
  await kept.acquire(never)
  const theirs = JSON.stringify({ host: 'elsewhere', pid: 7 })
  await client.set(leaseKey('test'), theirs)
  expect(await kept.keep(never)).toBe(false)
  await kept.release()
  expect(await client.get(leaseKey('test'))).toBe(theirs)
})

test('waiting for a lease ends when it is aborted', async () => {
  const { lease } = await useLeases()
  await lease({ host: 'elsewhere', leaseMs: 3_600_000 }).acquire(never)
  const abort = new AbortController()
  const next = lease()
  const waiting = next.acquire(abort.signal)
  await waitFor(() => next.coded('relay.lease.held').length > 0, 'the holder to be named')
  abort.abort()
  expect(await waiting).toBe(false)
})
