import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'redis'
import { expect, onTestFinished, test } from 'vitest'
import { startRedisServer, type RedisServer, type RedisServerOptions } from '../../src/local/servers.ts'
import { formatPacket } from '../../src/protocol/index.ts'
import { claimsKey } from '../../src/relay/redis/relay-keys.ts'
import { arrivedAt, expectAll, expectHeardOrAnnounced, expectOrderAndIds, gapsOf } from '../support/arrived.ts'
import { CAMPAIGNS, cdrOf, drained, publishStatuses, pushCdrs, statusOf } from '../support/load.ts'
import { readMetric } from '../support/metrics.ts'
import { useProxy } from '../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useFolder, useRelay, waitFor } from '../support/relay.ts'
import { startRelayProcess } from '../support/relay-process.ts'
import { useReservedPort } from '../support/reserved-port.ts'
import { useSqsFaults } from '../support/sqs-faults.ts'

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

/** What the log says about a replica. */
const WRITE_TO_PRIMARY = { msg: expect.stringContaining("write the primary's address in ENIGMA_SOURCES") as string }

/** A Redis that can be stopped and restarted on its port, with a client that reconnects by itself. */
async function useRestartable(options: RedisServerOptions = {}) {
  const port = await useReservedPort()
  const start = () => startRedisServer({ ...options, port })
  let server: RedisServer = await start()
  onTestFinished(() => server.stop())
  const { url } = server
  const client = createClient({ url, RESP: 2, disableOfflineQueue: true, socket: { reconnectStrategy: () => 20 } })
  client.on('error', () => undefined)
  await client.connect()
  onTestFinished(() => client.destroy())
  return {
    url,
    client,
    end: async (signal: NodeJS.Signals) => {
      const exited = new Promise((resolve) => server.process.once('exit', resolve))
      server.process.kill(signal)
      await exited
    },
    start: async () => {
      server = await start()
    },
  }
}

test(
  'G1, G2: restarting Redis under load, by SIGTERM and by SIGKILL, loses no CDR, and each gap is announced',
  { timeout: 60_000 },
  async () => {
    const redis = await useRestartable({ dataDir: await useFolder(), args: ['--appendfsync', 'always'] })
    const sqs = await useSqsFaults()
    const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [CAMPAIGNS] })
    const cdrs = pushCdrs(redis.client, 1_000)
    const statuses = publishStatuses(redis.client, 500)
    for (const [round, signal] of (['SIGTERM', 'SIGKILL'] as const).entries()) {
      await waitFor(async () => (await gapsOf(sqs)).length >= round, 'the gap to be announced')
      await sleep(700)
      await redis.end(signal)
      await sleep(500)
      await redis.start()
      await waitFor(() => redis.client.isReady, 'the dialler to be connected again')
    }
    await sleep(500)
    const [pushed] = await Promise.all([cdrs.stop(), statuses.stop()])
    await waitFor(drained(redis.client), 'all to be sent')
    await waitFor(async () => (await gapsOf(sqs)).length >= 2, 'the gaps to be announced')
    await waitFor(async () => (await readMetric(relay.address, 'journal_rows')) === 0, 'the journal to be empty')
    const events = await arrivedAt(sqs, 'campaigns-cdr')
    // A push whose answer was cut may be there twice: the dialler pushed it again.
    expect(
      new Set(events.map((event) => (JSON.parse(String(event.data)) as { payload: { n: number } }).payload.n)).size,
    ).toBe(pushed)
    await expectHeardOrAnnounced(sqs, statuses.published)
    expect(
      (await gapsOf(sqs)).every(
        ({ cause, source, patterns }) =>
          cause === 'reconnect' && source === 'main' && patterns[0] === 'enigma:notifications*',
      ),
    ).toBe(true)
    expect(relay.coded('relay.redis.recovered').length).toBeGreaterThan(0)
  },
)

test(
  'G1: when Redis is killed and comes back empty and the clock is set back, taken items still arrive and no id repeats',
  { timeout: 60_000 },
  async () => {
    const redis = await useRestartable()
    const sqs = await useSqsFaults()
    let backMs = 0
    sqs.state.answer = () => ({ status: 503, code: 'ServiceUnavailable' })
    const relay = await useRelay({
      redisUrl: redis.url,
      endpoint: sqs.endpoint,
      lists: [CAMPAIGNS],
      now: () => Date.now() - backMs,
    })
    await redis.client.lPush(CAMPAIGNS, numbers(1_000).map(cdrOf))
    await waitFor(async () => (await redis.client.lLen(CAMPAIGNS)) === 0, 'all to be taken')
    await redis.client.set('there before', '1')
    await redis.end('SIGKILL')
    backMs = 3_600_000
    await redis.start()
    await waitFor(() => redis.client.isReady, 'the dialler to be connected again')
    // Keys of the relay may be there again by now.
    expect(await redis.client.exists('there before')).toBe(0)
    sqs.state.answer = () => 'accept'
    await redis.client.lPush(CAMPAIGNS, numbers(2_000).slice(1_000).map(cdrOf))
    await waitFor(
      async () => (await readMetric(relay.address, 'sent_total', { route: 'campaigns-cdr' })) === 2_000,
      'all to be sent',
    )
    const events = await arrivedAt(sqs, 'campaigns-cdr')
    expectAll(events, 2_000)
    expectOrderAndIds(events)
    expect(new Set(events.map(({ id }) => id)).size).toBe(2_000)
    // Newer items sort last, whatever the clock says.
    const sequences = events
      .toSorted((a, b) => (a.sequence < b.sequence ? -1 : 1))
      .map((event) => (JSON.parse(String(event.data)) as { payload: { n: number } }).payload.n)
    expect(sequences).toEqual(numbers(2_000))
  },
)

test(
  'G1: claims that an emptied Redis lost are written back, and arrive with their ids after the relay is killed',
  { timeout: 60_000 },
  async () => {
    const redis = await useRestartable()
    const sqs = await useSqsFaults()
    sqs.state.answer = () => ({ status: 503, code: 'ServiceUnavailable' })
    const options = { redisUrl: redis.url, endpoint: sqs.endpoint, lists: [CAMPAIGNS], dataDir: await useFolder() }
    const claimed = () => redis.client.hGetAll(claimsKey('test'))
    const first = startRelayProcess(options)
    await redis.client.lPush(CAMPAIGNS, numbers(3_000).map(cdrOf))
    await waitFor(async () => (await redis.client.lLen(CAMPAIGNS)) === 0, 'all to be taken', 20_000)
    await waitFor(async () => (await first.metric('claims')) === 6, 'the relay to know its claims')
    const before = await claimed()
    await redis.end('SIGKILL')
    await redis.start()
    await waitFor(() => first.coded('relay.claims.restored').length > 0, 'claims to be written back')
    const lost = Object.fromEntries(Object.entries(before).filter(([field]) => /^\d+$/.test(field)))
    // Several writes: a list that is being announced again rejects claims, which go with the next write.
    await waitFor(async () => {
      const now = await claimed()
      return Object.keys(lost).every((number) => number in now)
    }, 'all of them')
    expect(await claimed()).toMatchObject(lost)
    await first.kill('SIGKILL')
    const second = startRelayProcess(options)
    await second.ready()
    sqs.state.answer = () => 'accept'
    await waitFor(async () => (await arrivedAt(sqs, 'campaigns-cdr')).length >= 3_000, 'all to be sent', 20_000)
    const events = await arrivedAt(sqs, 'campaigns-cdr')
    expectAll(events, 3_000)
    expectOrderAndIds(events)
    const taken = Object.keys(before).filter((field) => /^\d+$/.test(field))
    expect(new Set(events.map(({ id }) => id.split('/')[2]))).toEqual(new Set(taken))
    await waitFor(drained(redis.client), 'the claims to be deleted')
  },
)

test(
  'G1, G3: Redis answers that are cut halfway, again and again, lose nothing and change no id',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
    const client = await useRedisClient(redis.url)
    const proxy = await useProxy(redis.port)
    const relay = await useRelay({
      redisUrl: `redis://127.0.0.1:${proxy.port}`,
      endpoint: sqs.endpoint,
      lists: [CAMPAIGNS],
    })
    const statuses = publishStatuses(client, 200)
    const count = 6_000
    let cuts = 0
    for (let from = 0; from < count; from += 500)
      await client.lPush(
        CAMPAIGNS,
        numbers(from + 500)
          .slice(from)
          .map(cdrOf),
      )
    // A claim of 500 items has about 70 kB. Each connection is cut somewhere within it, until the list is empty.
    const bytes = [40_000, 3_000, 65_000, 20_000, 100, 150_000, 50_000, 500]
    while ((await client.lLen(CAMPAIGNS)) > 0 && cuts < 200) {
      proxy.state.cutAfterBytes = bytes[cuts++ % bytes.length]
      await sleep(100)
    }
    proxy.state.cutAfterBytes = undefined
    proxy.cut()
    await statuses.stop()
    const endMs = Date.now()
    await waitFor(drained(client), 'all to be sent', 20_000)
    await waitFor(async () => (await gapsOf(sqs)).some(({ toMs }) => toMs >= endMs), 'the last gap to be announced')
    expect(cuts).toBeGreaterThan(3)
    expect(await readMetric(relay.address, 'adopted_total', { transport: 'list' })).toBeGreaterThan(0)
    const events = await arrivedAt(sqs, 'campaigns-cdr')
    expectAll(events, count)
    expectOrderAndIds(events)
    await waitFor(async () => (await readMetric(relay.address, 'journal_rows')) === 0, 'the journal to be empty')
    expectOrderAndIds(await arrivedAt(sqs, 'agents-status'))
    await expectHeardOrAnnounced(sqs, statuses.published)
  },
)

test(
  'the relay logs once that Redis has become a read-only replica, with the remedy, and drains it as a primary again',
  { timeout: 60_000 },
  async () => {
    const [redis, other, sqs] = [await useRedisServer(), await useRedisServer(), await useSqsFaults()]
    const client = await useRedisClient(redis.url)
    const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [CAMPAIGNS] })
    const primary = await useRedisClient(other.url)
    await client.sendCommand(['REPLICAOF', '127.0.0.1', String(other.port)])
    await primary.lPush(CAMPAIGNS, numbers(100).map(cdrOf))
    const said = () => relay.coded('relay.list.failed').filter(({ error }) => String(error).startsWith('READONLY'))
    await waitFor(() => said().length > 0, 'it to be said')
    await waitFor(async () => (await client.lLen(CAMPAIGNS)) === 100, 'the replica to have it all')
    await sleep(500)
    expect(said()).toMatchObject([WRITE_TO_PRIMARY])
    expect(sqs.accepted.filter(({ queue }) => queue.includes('cdr'))).toEqual([])
    await client.sendCommand(['REPLICAOF', 'NO', 'ONE'])
    await waitFor(async () => (await arrivedAt(sqs, 'campaigns-cdr')).length === 100, 'all to be sent', 20_000)
    expectAll(await arrivedAt(sqs, 'campaigns-cdr'), 100)
  },
)

test(
  'a relay that starts on a read-only replica logs it once with the remedy, and begins when Redis is a primary',
  { timeout: 60_000 },
  async () => {
    const [redis, other, sqs, dataDir] = [
      await useRedisServer(),
      await useRedisServer(),
      await useSqsFaults(),
      await useFolder(),
    ]
    const client = await useRedisClient(redis.url)
    await client.lPush(CAMPAIGNS, numbers(10).map(cdrOf))
    await (await useRedisClient(other.url)).lPush(CAMPAIGNS, numbers(10).map(cdrOf))
    await client.sendCommand(['REPLICAOF', '127.0.0.1', String(other.port)])
    await waitFor(async () => (await client.info('replication')).includes('master_link_status:up'), 'the replica')
    const relay = startRelayProcess({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [CAMPAIGNS], dataDir })
    await waitFor(() => relay.coded('relay.lease.refused').length > 0, 'it to be said')
    await client.sendCommand(['REPLICAOF', 'NO', 'ONE'])
    await waitFor(async () => (await arrivedAt(sqs, 'campaigns-cdr')).length === 10, 'all to be sent')
    expect(relay.coded('relay.lease.refused')).toMatchObject([WRITE_TO_PRIMARY])
  },
)

test(
  'G1: a relay that starts on a Redis filled to the last byte by its CDR list drains the list',
  { timeout: 60_000 },
  async () => {
    const redis = await useRedisServer({ args: ['--maxmemory', '6mb', '--maxmemory-policy', 'noeviction'] })
    const [sqs, client] = [await useSqsFaults({ maxBytes: 4_096 }), await useRedisClient(redis.url)]
    let pushed = 0
    // As long as a real CDR, so that it does not take too many to fill Redis.
    const longCdr = (n: number) =>
      formatPacket({ type: 'cdr', payload: { call_ref: n % 100, n, filler: 'x'.repeat(360) } })
    const pushMore = async (count: number) => {
      for (const end = pushed + count; pushed < end; pushed++) await client.lPush(CAMPAIGNS, longCdr(pushed))
    }
    // One CDR is too large for SQS: the relay parks it in the full Redis.
    await client.lPush(
      CAMPAIGNS,
      JSON.stringify({
        type: 'cdr',
        payload: {
          call_ref: 5,
          n: -1,
          filler: Array.from({ length: 9_000 }, () => Math.random().toString(36)[4]).join(''),
        },
      }),
    )
    await expect(
      (async () => {
        for (;;) {
          await client.lPush(
            CAMPAIGNS,
            numbers(pushed + 500)
              .slice(pushed)
              .map(longCdr),
          )
          pushed += 500
        }
      })(),
    ).rejects.toThrow('OOM')
    await expect(pushMore(1_000)).rejects.toThrow('OOM')
    expect(pushed).toBeGreaterThan(7_000)
    const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [CAMPAIGNS] })
    await waitFor(drained(client), 'all to be sent', 45_000)
    const events = await arrivedAt(sqs, 'campaigns-cdr')
    expectAll(events, pushed)
    expectOrderAndIds(events)
    expect(await client.lLen('enigma:relay:parked')).toBe(1)
    // The dialler can push again, and the relay takes its items.
    await pushMore(100)
    await waitFor(
      async () => (await readMetric(relay.address, 'sent_total', { route: 'campaigns-cdr' })) === pushed,
      'the new ones to be sent',
    )
  },
)

test(
  'G5: notifications parked at once while Redis is a read-only replica are each announced under a separate id',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
    const client = await useRedisClient(redis.url)
    // SQS rejects every status permanently.
    sqs.state.answer = ({ queue }) =>
      queue === 'enigma-agents-status.fifo'
        ? { fail: () => ({ Code: 'InvalidMessageContents', SenderFault: true }) }
        : 'accept'
    const relays = await Promise.all(
      ['one', 'two'].map((id) =>
        useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, env: { ENIGMA_RELAY_ID: id } }),
      ),
    )
    await client.sendCommand(['REPLICAOF', '127.0.0.1', '1'])
    const count = 40
    await Promise.all(
      numbers(count).map((n) => client.publish(`enigma:notifications:agents:${1_000 + n}`, statusOf(n))),
    )
    const notices = () => arrivedAt(sqs, 'relay-parked')
    await waitFor(
      async () => (await notices()).length === count * relays.length,
      'each to be announced by both',
      30_000,
    )
    expect(new Set((await notices()).map(({ id }) => id)).size).toBe(count * relays.length)
    await client.sendCommand(['REPLICAOF', 'NO', 'ONE'])
    await waitFor(
      async () => (await client.lLen('enigma:relay:parked')) === count * relays.length,
      'all to be aside',
      20_000,
    )
  },
)
