import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { arrivedAt, expectAll, expectOrderAndIds } from '../support/arrived.ts'
import { CAMPAIGNS, cdrOf, publishStatuses } from '../support/load.ts'
import { useProxy } from '../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useFolder, waitFor } from '../support/relay.ts'
import { startRelayProcess } from '../support/relay-process.ts'
import { useSqsFaults, type AcceptedEntry } from '../support/sqs-faults.ts'

const CDRS = 20_000

test(
  'G1, G3: on SIGTERM with a slow SQS and a backlog, the relay exits with 0, loses nothing and resends nothing that SQS accepted',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs, dataDir] = [await useRedisServer(), await useSqsFaults(), await useFolder()]
    const client = await useRedisClient(redis.url)
    const start = () => startRelayProcess({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [CAMPAIGNS], dataDir })
    sqs.state.answer = () => sleep(600 + Math.random() * 600, 'accept' as const)
    const first = start()
    await first.ready()
    for (let from = 0; from < CDRS; from += 1_000)
      await client.lPush(
        CAMPAIGNS,
        Array.from({ length: 1_000 }, (_, at) => cdrOf(from + at)),
      )
    const statuses = publishStatuses(client, 1_000)
    await waitFor(() => sqs.accepted.length > 50, 'some to be accepted')
    const published = await statuses.stop()
    await waitFor(
      async () => (await first.metric('received_total', { transport: 'pubsub' })) >= published,
      'what was published to be heard',
    )
    expect(await client.lLen(CAMPAIGNS)).toBeGreaterThan(CDRS / 4)
    expect(await first.metric('held')).toBeGreaterThan(1_000)

    const ended = await first.kill('SIGTERM')
    expect(ended).toEqual({ code: 0, signal: null, errors: '' })
    expect(Number(first.coded('relay.process.stopped')[0]?.['left'])).toBeGreaterThan(0)
    const before = new Set(sqs.accepted.map(({ MessageDeduplicationId }) => MessageDeduplicationId))
    const idsOf = async () =>
      (await Promise.all(['campaigns-cdr', 'agents-status'].map((route) => arrivedAt(sqs, route))))
        .flat()
        .map(({ id }) => id)
    const known = new Set(await idsOf())
    expect(known.size).toBeGreaterThan(0)

    sqs.state.answer = () => 'accept'
    const [second, requestsBefore] = [start(), sqs.requests.length]
    await second.ready()
    await waitFor(
      async () =>
        (await client.lLen(CAMPAIGNS)) === 0 &&
        (await second.metric('held')) === 0 &&
        (await second.metric('journal_rows')) === 0,
      'all to be sent',
      30_000,
    )
    const [cdrs, heard] = [await arrivedAt(sqs, 'campaigns-cdr'), await arrivedAt(sqs, 'agents-status')]
    expectAll(cdrs, CDRS)
    expectAll(heard, published)
    for (const events of [cdrs, heard]) {
      expectOrderAndIds(events)
      expect(new Set(events.map(({ id }) => id)).size).toBe(events.length)
    }
    // The second relay sent no message that SQS had accepted before.
    const later = sqs.requests.slice(requestsBefore).flatMap(({ entries }) => entries as AcceptedEntry[])
    expect(later.filter(({ MessageDeduplicationId }) => before.has(MessageDeduplicationId))).toEqual([])
  },
)

test(
  'G1: on SIGTERM while SQS hangs, the relay exits with 0 at its deadline, and the next start sends the rest',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs, dataDir] = [await useRedisServer(), await useSqsFaults(), await useFolder()]
    const client = await useRedisClient(redis.url)
    const start = () => startRelayProcess({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [CAMPAIGNS], dataDir })
    const relay = start()
    await relay.ready()
    sqs.state.answer = () => 'hang'
    await client.lPush(
      CAMPAIGNS,
      Array.from({ length: 500 }, (_, n) => cdrOf(n)),
    )
    const statuses = publishStatuses(client, 200)
    await waitFor(() => sqs.requests.length > 8, 'requests to hang')
    const published = await statuses.stop()
    const from = performance.now()
    expect(await relay.kill('SIGTERM')).toEqual({ code: 0, signal: null, errors: '' })
    // Ten seconds for requests in flight, and the rest for a slow machine.
    expect(performance.now() - from).toBeLessThan(20_000)
    sqs.state.answer = () => 'accept'
    const next = start()
    await next.ready()
    await waitFor(
      async () => (await next.metric('held')) === 0 && (await next.metric('journal_rows')) === 0,
      'all to be sent',
      20_000,
    )
    expectAll(await arrivedAt(sqs, 'campaigns-cdr'), 500)
    expectAll(await arrivedAt(sqs, 'agents-status'), published)
  },
)

test(
  'G1: on SIGTERM while neither Redis nor SQS answers, the relay exits with 0 at its deadline and loses nothing',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs, dataDir] = [await useRedisServer(), await useSqsFaults(), await useFolder()]
    const [client, proxy] = [await useRedisClient(redis.url), await useProxy(redis.port)]
    const options = { redisUrl: `redis://127.0.0.1:${proxy.port}`, endpoint: sqs.endpoint, lists: [CAMPAIGNS], dataDir }
    const relay = startRelayProcess(options)
    await relay.ready()
    sqs.state.answer = () => 'hang'
    await client.lPush(
      CAMPAIGNS,
      Array.from({ length: 3_000 }, (_, n) => cdrOf(n)),
    )
    await waitFor(() => sqs.requests.length > 3, 'requests to hang')
    proxy.state.halfOpen = true
    await sleep(200)
    const from = performance.now()
    expect(await relay.kill('SIGTERM')).toEqual({ code: 0, signal: null, errors: '' })
    expect(performance.now() - from).toBeLessThan(20_000)
    proxy.state.halfOpen = false
    sqs.state.answer = () => 'accept'
    const next = startRelayProcess(options)
    await next.ready()
    await waitFor(
      async () => (await client.lLen(CAMPAIGNS)) === 0 && (await client.keys('enigma:relay:claim:*')).length === 0,
      'all to be sent',
      20_000,
    )
    expectAll(await arrivedAt(sqs, 'campaigns-cdr'), 3_000)
  },
)
