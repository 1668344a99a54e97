import { expect, test } from 'vitest'
import { formatPacket, MAX_WAIT_MS } from '../../../src/protocol/index.ts'
import { numberOf, readAccepted } from '../../support/accepted.ts'
import { readMetric } from '../../support/metrics.ts'
import { useProxy } from '../../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { useRelay, waitFor } from '../../support/relay.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'

const LIST = 'enigma:notifications:campaigns'
const QUEUE = 'enigma-campaigns-cdr.fifo'
const cdrOf = (n: number, call_ref: number = n) =>
  formatPacket({ type: 'cdr', payload: { call_ref, dialed_at: 1_764_000_000, n } })

const taken = async (sqs: Awaited<ReturnType<typeof useSqsFaults>>, count: number, queue = QUEUE) => {
  await waitFor(async () => (await readAccepted(sqs, queue)).length >= count, `${count} notifications`)
  return readAccepted(sqs, queue)
}

test('the relay logs a list that is not named once, with its length, and takes nothing from it', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  await client.lPush(LIST, [cdrOf(1), cdrOf(2)])
  await client.lPush('enigma:notifications:inbound', 'x')
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: ['enigma:notifications:inbound'] })
  await waitFor(() => relay.coded('relay.list.unnamed').length > 0, 'it to be said')
  await taken(sqs, 1, 'enigma-other.fifo')
  expect(relay.coded('relay.list.unnamed')).toMatchObject([{ list: LIST, items: 2, source: 'main' }])
  expect(await client.lLen(LIST)).toBe(2)
})

test('`maxwaitms` is 0 for a fresh item, the time since the list was empty for a backlog, and the maximum if unknown', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  let clock = 1_764_000_000_000
  const options = { redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST], now: () => clock }
  await client.lPush(LIST, cdrOf(0))
  const first = await useRelay(options)
  await taken(sqs, 1)
  await client.lPush(LIST, cdrOf(1))
  await taken(sqs, 2)
  await first.stop()
  await client.lPush(LIST, cdrOf(2))
  clock += 3_600_000
  await useRelay({ ...options, dataDir: first.dataDir })
  await taken(sqs, 3)
  await client.lPush(LIST, cdrOf(3))
  const events = await taken(sqs, 4)
  expect(new Map(events.map((event) => [numberOf(event), event.maxwaitms]))).toEqual(
    new Map([
      [0, MAX_WAIT_MS],
      [1, 0],
      [2, 3_600_000],
      [3, 0],
    ]),
  )
})

test('several sources are read side by side, and each notification names its source, in its id too', async () => {
  const [one, two, sqs] = [await useRedisServer(), await useRedisServer(), await useSqsFaults()]
  const env = { ENIGMA_SOURCES: `east=${one.url},west=${two.url}` }
  await useRelay({ redisUrl: one.url, endpoint: sqs.endpoint, lists: [LIST], env })
  for (const [at, url] of [one.url, two.url].entries()) {
    const client = await useRedisClient(url)
    await client.lPush(LIST, cdrOf(at))
    await client.publish(
      'enigma:notifications:agents:1002',
      formatPacket({ type: 'status', payload: { status: 'busy', n: at } }),
    )
  }
  const sourceOf = async (queue: string) =>
    new Map((await taken(sqs, 2, queue)).map((event) => [numberOf(event), [event.source, event.id.split('/')[0]]]))
  const expected = new Map([
    [0, ['/enigma/east', 'east']],
    [1, ['/enigma/west', 'west']],
  ])
  expect(await sourceOf(QUEUE)).toEqual(expected)
  expect(await sourceOf('enigma-agents-status.fifo')).toEqual(expected)
})

test('an unreachable source does not block the others', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const away = await useProxy(1)
  away.state.refuse = true
  const client = await useRedisClient(redis.url)
  await client.lPush(LIST, cdrOf(0))
  const env = { ENIGMA_SOURCES: `away=redis://127.0.0.1:${away.port},main=${redis.url}` }
  const relay = useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST], env })
  relay.catch(() => undefined)
  expect(await taken(sqs, 1)).toHaveLength(1)
  const target = await useRedisServer()
  away.retarget(target.port)
  away.state.refuse = false
  await relay
})

test('a list at its limit continues when Redis accepts writes again, even if all items were settled while it refused them', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  const open = Promise.withResolvers<'accept'>()
  sqs.state.answer = () => open.promise
  const cdrs = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => cdrOf(from + at, at % 100))
  await client.lPush(LIST, cdrs(0, 4_100))
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST] })
  await waitFor(async () => (await client.lLen(LIST)) === 100, 'as many to be taken as may be')
  // Redis refuses writes, but keeps the connections and answers PING.
  await client.configSet('min-replicas-to-write', '1')
  open.resolve('accept')
  await taken(sqs, 4_000)
  await waitFor(async () => (await readMetric(relay.address, 'held_bytes')) === 0, 'it to know')
  await client.configSet('min-replicas-to-write', '0')
  await taken(sqs, 4_100)
})

test('any key may be named as a list, and several lists are taken at once', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  const lists = ['enigma:notifications:cdr', 'enigma:notifications', 'own key é']
  await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists })
  for (const list of lists) await client.lPush(list, cdrOf(lists.indexOf(list)))
  expect((await taken(sqs, 1)).map(({ channel }) => channel)).toEqual(['enigma:notifications:cdr'])
  const others = await taken(sqs, 2, 'enigma-other.fifo')
  expect(new Map(others.map(({ channel, reason }) => [channel, reason]))).toEqual(
    new Map([
      ['enigma:notifications', 'no_key_type'],
      ['own key é', 'key_outside_scheme'],
    ]),
  )
})

test('items that an older relay moved from a list that is no longer named are sent, despite unreadable claims', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  const former = 'enigma:notifications:cdr'
  await client.hSet('enigma:relay:claims:test', `waiting:${former}`, '1')
  await client.lPush(`enigma:relay:waiting:test:${former}`, cdrOf(1))
  await client.hSet('enigma:relay:claims:test', '7', 'of another version')
  await client.zAdd('enigma:relay:relays', { value: 'damaged', score: Date.now() })
  await client.set('enigma:relay:claims:damaged', 'no hash')
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST] })
  expect((await taken(sqs, 1)).map(numberOf)).toEqual([1])
  for (const code of ['relay.claims.look_failed', 'relay.claims.unreadable']) {
    await waitFor(() => relay.coded(code).length > 0, code)
    expect(relay.coded(code), code).toHaveLength(1)
  }
})

test('G7: a list whose queue accepts nothing does not block another list, before and after a restart', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  const inbound = 'enigma:notifications:inbound'
  const callOf = (n: number) => formatPacket({ type: 'call', payload: { call_ref: n, ref: '1002', n } })
  sqs.state.answer = ({ queue }) => (queue === QUEUE ? { status: 403, code: 'AccessDenied' } : 'accept')
  const options = { redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST, inbound] }
  // The former relay leaves as many items of the list as a relay may hold, so the next one is full from the start.
  const count = 14_000
  for (let n = 0; n < count; n += 1_000)
    await client.lPush(
      LIST,
      Array.from({ length: 1_000 }, (_, at) => cdrOf(n + at)),
    )
  const former = await useRelay({ ...options, env: { ENIGMA_RELAY_ID: 'former' } })
  await waitFor(async () => (await client.lLen(LIST)) === count - 4_000, 'the former relay to be full')
  await client.lPush(inbound, callOf(1))
  await taken(sqs, 1, 'enigma-inbound-call.fifo')
  await former.stop()
  const next = await useRelay(options)
  await waitFor(
    async () => (await readMetric(next.address, 'held', { route: 'campaigns-cdr' })) >= 4_000,
    'the next relay to be full',
  )
  await client.lPush(inbound, callOf(2))
  expect((await taken(sqs, 2, 'enigma-inbound-call.fifo')).map(numberOf)).toEqual([1, 2])
  await next.stop()
  await useRelay({ ...options, dataDir: next.dataDir })
  await client.lPush(inbound, callOf(3))
  expect((await taken(sqs, 3, 'enigma-inbound-call.fifo')).map(numberOf)).toEqual([1, 2, 3])
  sqs.state.answer = () => 'accept'
  await waitFor(async () => (await client.lLen(LIST)) === 0, 'the list to be taken', 20_000)
  await waitFor(async () => new Set((await readAccepted(sqs, QUEUE)).map(numberOf)).size === count, 'every CDR', 20_000)
}, 60_000)

test('with the left end, items pushed on the right are sent in order, from a backlog and while the relay waits', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  await client.rPush(LIST, [cdrOf(0, 7), cdrOf(1, 7)])
  await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST], env: { ENIGMA_LIST_END: 'left' } })
  await taken(sqs, 2)
  for (let n = 2; n < 12; n++) await client.rPush(LIST, cdrOf(n, 7))
  expect((await taken(sqs, 12)).map(numberOf)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
})

test('a key that is not a list is logged once, and read as soon as it is a list', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  await client.set(LIST, 'no list')
  const relay = await useRelay({
    redisUrl: redis.url,
    endpoint: sqs.endpoint,
    lists: [LIST, 'enigma:notifications:cdr'],
  })
  await waitFor(() => relay.coded('relay.list.failed').length > 0, 'it to be said')
  // The relay retries without logging it again, and the other list does not wait.
  const failed = async () => Number(/cmdstat_evalsha:.*failed_calls=(\d+)/.exec(await client.info('commandstats'))?.[1])
  const before = await failed()
  await waitFor(async () => (await failed()) >= before + 3, 'it to be tried again')
  await client.lPush('enigma:notifications:cdr', cdrOf(0))
  expect(await taken(sqs, 1)).toHaveLength(1)
  await client.multi().del(LIST).lPush(LIST, cdrOf(1)).exec()
  expect((await taken(sqs, 2)).map(numberOf)).toEqual([0, 1])
  expect(relay.coded('relay.list.failed')).toHaveLength(1)
})

test('a list that the relay cannot take from makes it not ready after ten seconds, with the reason, and ready once it can', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST] })
  const readPart = async () =>
    ((await (await fetch(`${relay.address}/readyz`)).json()) as { parts: Record<string, unknown> }).parts[
      `list:main:${LIST}`
    ]
  expect(await readPart()).toBeUndefined()
  await client.set(LIST, 'no list')
  await waitFor(async () => (await readPart()) !== undefined, 'it to be not ready', 15_000)
  const reason = expect.stringContaining('WRONGTYPE') as string
  expect(await readPart()).toMatchObject({ ok: false, reason })
  expect(relay.coded('relay.ready.no').at(-1)).toMatchObject({ parts: { [`list:main:${LIST}`]: reason } })
  // The connection that waits for items was idle meanwhile, and was kept.
  expect(relay.lines.filter((line) => line.includes('Socket timeout'))).toEqual([])
  await client.del(LIST)
  await waitFor(async () => (await readPart()) === undefined, 'it to be ready')
})

test('a list whose items can be taken but not waited for is logged once', async () => {
  const [redis, sqs] = [await useRedisServer({ args: ['--rename-command', 'BLMOVE', ''] }), await useSqsFaults()]
  const relay = await useRelay({
    redisUrl: redis.url,
    endpoint: sqs.endpoint,
    lists: [LIST],
    env: { ENIGMA_LIST_END: 'left' },
  })
  const waits = async () =>
    Number(/cmdstat_evalsha:calls=(\d+)/.exec(await (await useRedisClient(redis.url)).info('commandstats'))?.[1])
  await waitFor(() => relay.coded('relay.list.failed').length > 0, 'it to be said')
  const before = await waits()
  await waitFor(async () => (await waits()) > before + 10, 'it to be tried again')
  expect(relay.coded('relay.list.failed')).toHaveLength(1)
  expect(relay.coded('relay.list.recovered')).toEqual([])
})

test('G1: connections that are cut while a list is taken, with replies pending, lose nothing and keep the order', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  const proxy = await useProxy(redis.port)
  await useRelay({ redisUrl: `redis://127.0.0.1:${proxy.port}`, endpoint: sqs.endpoint, lists: [LIST] })
  const count = 6_000
  for (let cut = 0; cut < 6; cut++) {
    for (let n = 0; n < count / 6; n += 100) {
      const from = cut * (count / 6) + n
      await client.lPush(
        LIST,
        Array.from({ length: 100 }, (_, at) => cdrOf(from + at, (from + at) % 50)),
      )
    }
    proxy.state.holdAnswers = cut % 2 === 0
    await new Promise((resolve) => setTimeout(resolve, 10))
    proxy.state.holdAnswers = false
    proxy.cut()
  }
  const unique = async () => new Map((await readAccepted(sqs, QUEUE)).map((event) => [event.id, numberOf(event)]))
  await waitFor(async () => (await unique()).size === count, 'all of them', 15_000)
  const last = new Map<number, number>()
  for (const n of (await unique()).values()) {
    expect(n).toBeGreaterThan(last.get(n % 50) ?? -1)
    last.set(n % 50, n)
  }
  await waitFor(async () => (await client.keys('enigma:relay:claim*')).length <= 1, 'the claims to be deleted')
  expect(await client.lLen(LIST)).toBe(0)
})

test('a claim settled while Redis is away is deleted once Redis is back, even without new items', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const [client, proxy] = [await useRedisClient(redis.url), await useProxy(redis.port)]
  const held = Promise.withResolvers<'accept'>()
  sqs.state.answer = () => held.promise
  await useRelay({ redisUrl: `redis://127.0.0.1:${proxy.port}`, endpoint: sqs.endpoint, lists: [LIST] })
  await client.lPush(LIST, cdrOf(1))
  await waitFor(() => sqs.requests.length > 0, 'it to be under way')
  proxy.state.refuse = true
  proxy.cut()
  held.resolve('accept')
  await taken(sqs, 1)
  // Long enough for the claim to be settled, and for the attempt to delete it to fail.
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(await client.keys('enigma:relay:claim:*')).toHaveLength(1)
  proxy.state.refuse = false
  await waitFor(async () => (await client.keys('enigma:relay:claim:*')).length === 0, 'the claim to be deleted')
  expect(await client.hKeys('enigma:relay:claims:test')).toEqual([`waiting:${LIST}`])
})
