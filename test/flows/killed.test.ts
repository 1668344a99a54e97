import { ReceiveMessageCommand } from '@aws-sdk/client-sqs'
import { expect, test } from 'vitest'
import { formatPacket } from '../../src/protocol/index.ts'
import { claimsKey } from '../../src/relay/redis/relay-keys.ts'
import { firstArrivals, receiveDistinct, toNumbered } from '../support/collect.ts'
import { useProxy } from '../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useFolder, waitFor } from '../support/relay.ts'
import { startRelayProcess } from '../support/relay-process.ts'
import { isInOrder } from '../support/sender.ts'
import { useSqs } from '../support/sqs.ts'

const LIST = 'enigma:notifications:campaigns'
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, at) => from + at)
const cdrOf = (n: number) =>
  formatPacket({ type: 'cdr', payload: { call_ref: n % 100, dialed_at: 1_764_000_000, n, filler: 'x'.repeat(300) } })
const statusOf = (n: number) => formatPacket({ type: 'status', payload: { status: 'busy', n } })

/** Redis, SQS behind a proxy, and relays that share one id and one data folder. */
async function useStreet() {
  const [redis, sqs] = [await useRedisServer(), await useSqs()]
  const client = await useRedisClient(redis.url)
  const proxy = await useProxy(Number(new URL(sqs.endpoint).port))
  const options = {
    redisUrl: redis.url,
    endpoint: `http://127.0.0.1:${proxy.port}`,
    lists: [LIST],
    dataDir: await useFolder(),
  }
  const publish = (n: number) => client.publish(`enigma:notifications:agents:${1_000 + (n % 50)}`, statusOf(n))
  return { sqs, client, proxy, publish, start: () => startRelayProcess(options) }
}

test(
  'G1: a relay killed three times in mid-drain loses nothing, and keeps the ids of copies and the order per reference',
  { timeout: 60_000 },
  async () => {
    const { sqs, client, proxy, start } = await useStreet()
    const count = 12_000
    for (let from = 0; from < count; from += 4_000) {
      proxy.state.holdAnswers = false
      const relay = start()
      await relay.ready()
      // The relay has looked up its queue by now: the lookup also needs an answer from SQS.
      await client.lPush(LIST, numbers(1_000, from).map(cdrOf))
      await waitFor(async () => (await relay.metric('sent_total', { route: 'campaigns-cdr' })) > 0, 'some to be sent')
      // Without the answers of SQS, the relay cannot settle accepted messages before it is killed.
      proxy.state.holdAnswers = true
      for (const at of [1_000, 2_000, 3_000]) await client.lPush(LIST, numbers(1_000, from + at).map(cdrOf))
      await waitFor(
        async () => (await relay.metric('requests_in_flight', { route: 'campaigns-cdr' })) > 0,
        'it to be in the middle of the drain',
      )
      expect(await relay.kill('SIGKILL')).toMatchObject({ signal: 'SIGKILL' })
      expect(await client.hLen(claimsKey('test'))).toBeGreaterThan(0)
    }
    proxy.state.holdAnswers = false
    const relay = start()
    const events = await receiveDistinct(sqs, 'campaigns-cdr', count, 40_000)
    const first = firstArrivals(events)
    expect(first.map(({ n }) => n).toSorted((a, b) => a - b)).toEqual(numbers(count))
    expect(isInOrder(first)).toBe(true)
    const idsOf = new Map<number, Set<string>>()
    for (const { n, id } of events.map(toNumbered)) idsOf.set(n, (idsOf.get(n) ?? new Set()).add(id))
    expect([...idsOf.values()].every((ids) => ids.size === 1)).toBe(true)
    expect(await relay.metric('adopted_total', { transport: 'list' })).toBeGreaterThan(0)
    await waitFor(async () => (await client.keys('enigma:relay:claim:*')).length === 0, 'the claims to be deleted')
  },
)

test(
  'G2: notifications received by Pub/Sub while SQS is down survive a SIGKILL and arrive in order, before newer ones',
  { timeout: 60_000 },
  async () => {
    const { sqs, proxy, publish, start } = await useStreet()
    proxy.state.refuse = true
    const first = start()
    await first.ready()
    await Promise.all(numbers(2_000).map(publish))
    await waitFor(async () => (await first.metric('journal_rows')) === 2_000, 'all to be in the journal')
    await first.kill('SIGKILL')
    const second = start()
    await second.ready()
    await Promise.all(numbers(500, 2_000).map(publish))
    // 2,500 notifications, and the notice of the gap between the two processes.
    await waitFor(
      async () => (await second.metric('journal_rows')) === 2_501,
      'the newer ones to be in the journal too',
    )
    proxy.state.refuse = false
    const events = await receiveDistinct(sqs, 'agents-status', 2_500)
    expect(
      events
        .map(toNumbered)
        .map(({ n }) => n)
        .toSorted((a, b) => a - b),
    ).toEqual(numbers(2_500))
    expect(isInOrder(events.map(toNumbered))).toBe(true)
    expect(await second.metric('gaps_total', { cause: 'start' })).toBe(1)
    await waitFor(async () => (await second.metric('journal_rows')) === 0, 'the journal to be empty')
  },
)

test(
  'on SIGTERM under load, the relay exits with 0, loses nothing and delivers nothing twice',
  { timeout: 60_000 },
  async () => {
    const { sqs, client, publish, start } = await useStreet()
    const rounds = 3
    const perRound = 4_000
    let heard = 0
    for (let round = 0; round < rounds; round++) {
      const relay = start()
      await relay.ready()
      await Promise.all(numbers(500, heard).map(publish))
      heard += 500
      await waitFor(
        async () => (await relay.metric('received_total', { transport: 'pubsub' })) === 500,
        'what was published to be heard',
      )
      for (let from = 0; from < perRound; from += 500)
        await client.lPush(LIST, numbers(500, round * perRound + from).map(cdrOf))
      await waitFor(async () => (await client.lLen(LIST)) < perRound, 'the drain to begin')
      const ended = await relay.kill('SIGTERM')
      expect(ended).toEqual({ code: 0, signal: null, errors: '' })
      expect(relay.coded('relay.process.stopped')).toHaveLength(1)
    }
    const last = start()
    const [cdrs, statuses] = await Promise.all([
      receiveDistinct(sqs, 'campaigns-cdr', rounds * perRound, 40_000),
      receiveDistinct(sqs, 'agents-status', heard, 40_000),
    ])
    // Once the last relay has ended, no copy can follow.
    expect(await last.kill('SIGTERM')).toMatchObject({ code: 0 })
    for (const route of ['campaigns-cdr', 'agents-status'])
      expect((await sqs.sqs.send(new ReceiveMessageCommand({ QueueUrl: sqs.url(route) }))).Messages ?? []).toEqual([])
    for (const events of [cdrs, statuses]) {
      expect(new Set(events.map(({ id }) => id)).size).toBe(events.length)
      expect(isInOrder(events.map(toNumbered))).toBe(true)
    }
    expect(
      cdrs
        .map(toNumbered)
        .map(({ n }) => n)
        .toSorted((a, b) => a - b),
    ).toEqual(numbers(rounds * perRound))
    expect(
      statuses
        .map(toNumbered)
        .map(({ n }) => n)
        .toSorted((a, b) => a - b),
    ).toEqual(numbers(heard))
  },
)
