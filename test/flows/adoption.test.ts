import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { arrivedAt, expectAll } from '../support/arrived.ts'
import { toNumbered } from '../support/collect.ts'
import { CAMPAIGNS, pushCdrs } from '../support/load.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useFolder, waitFor } from '../support/relay.ts'
import { startRelayProcess } from '../support/relay-process.ts'
import { useSqsFaults } from '../support/sqs-faults.ts'

test(
  'G1, G3: three relays share a list; when two are killed, the third takes up what they had, once, with the same ids',
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
    // The registry also names the lists that it waits at.
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
    // Their leases last ten seconds; nothing of theirs is touched before.
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
    // An item that was just handed over, and in no claim yet, is taken up as one.
    expect(
      c?.coded('relay.claims.adopted').reduce((sum, line) => sum + Number(line['claims']), 0),
    ).toBeGreaterThanOrEqual(left)
    expect(await c?.metric('adopted_total', { transport: 'list' })).toBeGreaterThan(0)
    expect([await claimsOf('a'), await claimsOf('b')]).toEqual([0, 0])
  },
)
