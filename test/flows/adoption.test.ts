import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { arrivedAt, expectAll, expectOrderAndIds } from '../support/arrived.ts'
import { toNumbered } from '../support/collect.ts'
import { CAMPAIGNS, cdrOf, pushCdrs } from '../support/load.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useFolder, useRelay, waitFor } from '../support/relay.ts'
import { startRelayProcess } from '../support/relay-process.ts'
import { useSqsFaults } from '../support/sqs-faults.ts'

test(
  'G1, G3: when two of three relays that share a list are killed, the third adopts their claims with the same ids',
  { timeout: 90_000 },
  async () => {
    const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
    const client = await useRedisClient(redis.url)
    sqs.state.answer = () => sleep(20 + Math.random() * 40, 'accept' as const)
    const start = async (id: string) =>
      startRelayProcess({
        redisUrl: redis.url,
        endpoint: sqs.endpoint,
        lists: [CAMPAIGNS],
        channels: ['none'],
        dataDir: await useFolder(),
        env: { ENIGMA_RELAY_ID: id },
      })
    const relays = await Promise.all(['a', 'b', 'c'].map(start))
    await Promise.all(relays.map((relay) => relay.ready()))
    const cdrs = pushCdrs(client, 10_000)
    const received = async () =>
      Promise.all(relays.map((relay) => relay.metric('received_total', { transport: 'list' })))
    await waitFor(async () => (await received()).every((count) => count > 1_000), 'each of them to take its share')
    const [a, b, c] = relays
    // The registry also has a field for each list on which the relay waits. Claims have numbers.
    const claimsOf = async (id: string) =>
      (await client.hKeys(`enigma:relay:claims:${id}`)).filter((field) => /^\d+$/.test(field)).length
    for (const [relay, id] of [
      [a, 'a'],
      [b, 'b'],
    ] as const) {
      await waitFor(async () => (await claimsOf(id)) > 0, `${id} to hold claims`)
      await relay?.kill('SIGKILL')
      await sleep(200)
    }
    const left = (await claimsOf('a')) + (await claimsOf('b'))
    expect(left).toBeGreaterThan(0)
    const pushed = await cdrs.stop()
    // Their leases last ten seconds. Their claims are not adopted before that.
    await waitFor(
      async () => (await client.keys('enigma:relay:claim:*')).length === 0 && (await client.lLen(CAMPAIGNS)) === 0,
      'all to be sent',
      40_000,
    )
    const events = await arrivedAt(sqs, 'campaigns-cdr')
    expectAll(events, pushed)
    const idsOf = new Map<number, Set<string>>()
    for (const { n, id } of events.map(toNumbered)) idsOf.set(n, (idsOf.get(n) ?? new Set()).add(id))
    expect([...idsOf.values()].filter((ids) => ids.size > 1)).toEqual([])
    // An item that a killed relay had moved but not claimed yet is adopted as a further claim.
    expect(
      c?.coded('relay.claims.adopted').reduce((sum, line) => sum + Number(line['claims']), 0),
    ).toBeGreaterThanOrEqual(left)
    expect(await c?.metric('adopted_total', { transport: 'list' })).toBeGreaterThan(0)
    expect([await claimsOf('a'), await claimsOf('b')]).toEqual([0, 0])
  },
)

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at)

test('G1: a relay that lost its id while it was frozen adopts the claims of its successor once it has the id again', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  const start = async () =>
    startRelayProcess({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [CAMPAIGNS], dataDir: await useFolder() })
  const stopped = await start()
  await stopped.ready()
  const pid = stopped.pid ?? 0
  process.kill(pid, 'SIGSTOP')
  try {
    // As if the lease had expired.
    await client.del('enigma:relay:lease:test')
    const second = await start()
    await second.ready()
    sqs.state.answer = () => ({ status: 503, code: 'ServiceUnavailable' })
    await client.lPush(CAMPAIGNS, numbers(0, 1_000).map(cdrOf))
    await waitFor(async () => (await client.lLen(CAMPAIGNS)) === 0, 'the second to take it')
    // Long enough for all periodic work of the first relay to be due at once when it wakes up.
    await sleep(4_000)
    process.kill(pid, 'SIGCONT')
    await waitFor(() => stopped.coded('relay.lease.lost').length > 0, 'the first to notice')
    await second.kill('SIGKILL')
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  sqs.state.answer = () => 'accept'
  await client.lPush(CAMPAIGNS, numbers(1_000, 1_010).map(cdrOf))
  await waitFor(async () => (await arrivedAt(sqs, 'campaigns-cdr')).length >= 1_010, 'all of it')
  const events = await arrivedAt(sqs, 'campaigns-cdr')
  expectAll(events, 1_010)
  expectOrderAndIds(events)
}, 60_000)

test.each([
  ['stopped and replaced by one with another id and folder', 'SIGTERM', false],
  ['killed and replaced by one with another id in the same folder', 'SIGKILL', true],
] as const)(
  'G3: when a relay is %s, its claims are sent before newer items',
  async (_how, signal, isSame) => {
    const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
    const client = await useRedisClient(redis.url)
    sqs.state.answer = () => ({ status: 503, code: 'ServiceUnavailable' })
    const options = { redisUrl: redis.url, endpoint: sqs.endpoint, lists: [CAMPAIGNS], channels: ['none'] }
    // 500 recent relays: checking them takes longer than taking items.
    await client.zAdd(
      'enigma:relay:relays',
      numbers(0, 500).map((n) => ({ value: `before-${n}`, score: Date.now() - 60_000 })),
    )
    const dataDir = await useFolder()
    const former = startRelayProcess({ ...options, dataDir, env: { ENIGMA_RELAY_ID: 'former' } })
    await former.ready()
    await client.lPush(CAMPAIGNS, numbers(0, 2_000).map(cdrOf))
    await waitFor(async () => (await client.lLen(CAMPAIGNS)) === 0, 'it to be taken')
    await former.kill(signal)
    await client.lPush(CAMPAIGNS, numbers(2_000, 3_000).map(cdrOf))
    sqs.state.answer = () => 'accept'
    const next = await useRelay({ ...options, dataDir: isSame ? dataDir : await useFolder() })
    await waitFor(async () => (await arrivedAt(sqs, 'campaigns-cdr')).length >= 3_000, 'all of it')
    const events = await arrivedAt(sqs, 'campaigns-cdr')
    expectAll(events, 3_000)
    expectOrderAndIds(events)
    expect(next.lines.filter((line) => line.includes('"relay.claims.adopted"'))).toHaveLength(1)
  },
  60_000,
)
