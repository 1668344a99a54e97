import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { textOf } from '../../../src/protocol/index.ts'
import { createMetrics } from '../../../src/relay/metrics.ts'
import type { Notice } from '../../../src/relay/notice.ts'
import { createNumbers } from '../../../src/relay/redis/relay-keys.ts'
import { readEntry } from '../../../src/relay/parking/parked-entry.ts'
import { openOverflowList, overflowFile } from '../../../src/relay/parking/overflow.ts'
import { createParking, type ParkingOptions } from '../../../src/relay/parking/parking.ts'
import { createAcknowledger, makeItem } from '../../support/items.ts'
import { captureLog } from '../../support/log.ts'
import { PARKED_LIST, toArray } from '../../support/parked.ts'
import { useRedisServer } from '../../support/redis.ts'
import { useRelayRedis } from '../../support/relay-redis.ts'
import { useFolder, useRelay, waitFor } from '../../support/relay.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'
import { routeOf } from '../../support/routes.ts'

const { acknowledger } = createAcknowledger()

async function useParking(more: Partial<ParkingOptions> = {}) {
  const redis = await useRedisServer()
  const client = await useRelayRedis(redis.url)
  const { log, coded } = captureLog()
  const end = new AbortController()
  const notices: Notice[] = []
  const file = overflowFile(await useFolder(), 'main', 'test')
  const metrics = createMetrics()
  const options: ParkingOptions = {
    sourceId: 'main',
    client,
    numbers: createNumbers({ client, now: Date.now }),
    log,
    now: Date.now,
    relayId: 'test',
    most: 1_000,
    file,
    metrics,
    signal: end.signal,
    announce: (notice) => Promise.resolve(void notices.push(notice)),
    ...more,
  }
  const parking = createParking(options)
  return { redis, client, coded, end, notices, file, metrics, parking, options }
}

const entriesOf = async (file: string) =>
  (await toArray(openOverflowList(file).pages({}))).flatMap(({ entries }) => entries)

test('nothing is parked if the relay stops while the notice is announced, because the journal may not have the notice', async () => {
  const { client, end, parking } = await useParking({
    announce: () => {
      end.abort()
      return Promise.resolve()
    },
  })
  expect(await parking.park(makeItem(acknowledger, '1000', 0), 'refused', 'no')).toBe(false)
  expect(await client.lLen(PARKED_LIST)).toBe(0)
})

test('nothing is announced or parked if the relay stops while it gets the number of the notice from Redis', async () => {
  const { client, end, notices, options } = await useParking()
  const numbers = {
    ...options.numbers,
    next: async () => {
      const number = await options.numbers.next()
      end.abort()
      return number
    },
  }
  const parking = createParking({ ...options, numbers })
  expect(await parking.park(makeItem(acknowledger, '1000', 0), 'refused', 'no')).toBe(false)
  expect([notices.length, await client.lLen(PARKED_LIST)]).toEqual([0, 0])
})

test("one of the relay's own notices is parked without a notice about it", async () => {
  const { client, notices, parking } = await useParking()
  const notice = { ...makeItem(acknowledger, '1000', 0), route: routeOf('relay', 'parked') }
  expect(await parking.park(notice, 'refused', 'no')).toBe(true)
  expect([notices.length, await client.lLen(PARKED_LIST)]).toEqual([0, 1])
})

test('if SQS rejects everything, each item and each notice is parked exactly once', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRelayRedis(redis.url)
  const LIST = 'enigma:notifications:campaigns'
  sqs.state.answer = () => ({ fail: () => ({ Code: 'InvalidMessageContents', SenderFault: true }) })
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST] })
  await client.lPush(
    LIST,
    Array.from({ length: 20 }, (_, n) => `{"type":"cdr","payload":{"call_ref":${n}}}`),
  )
  await waitFor(async () => (await client.lLen(PARKED_LIST)) === 40, 'the items and the notices to be parked')
  const requests = sqs.requests.length
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect([await client.lLen(PARKED_LIST), sqs.requests.length]).toEqual([40, requests])
  // All of it was answered: no outage.
  expect((await fetch(`${relay.address}/readyz`)).status).toBe(200)
})

test('if the list is full, further entries go in order to a file that only its owner can read, and are counted', async () => {
  const { client, coded, file, metrics, parking } = await useParking({ most: 3 })
  for (let n = 0; n < 8; n++) {
    // A packet may be written over several lines.
    const item = makeItem(acknowledger, '1000', n)
    const head = n === 7 ? textOf(item).replace('"busy\\"', '"busy\\"\\n').replace(/\}$/, '\n}') : textOf(item)
    expect(await parking.park({ ...item, head, data: undefined }, 'refused', 'no')).toBe(true)
  }
  expect(await client.lLen(PARKED_LIST)).toBe(3)
  const entries = await entriesOf(file)
  expect(entries.map(({ kind, id }) => [kind, id])).toEqual([3, 4, 5, 6, 7].map((n) => ['parked', `main/p/2000/${n}`]))
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')
  expect(lines.map((line) => readEntry(Buffer.from(line)).id)).toEqual(entries.map(({ id }) => id))
  await parking.measure()
  expect(await metrics.parkedFile.get()).toMatchObject({ values: [{ value: 5, labels: { source: 'main' } }] })
  expect(coded('relay.parking.list_full')).toMatchObject([{ file, entries: 3 }])
  expect(Object.values(await client.hGetAll('enigma:relay:parked:files'))[0]).toMatch(new RegExp(`:${file}$`))
})

test('a claimed item that is parked in the file is settled in its claim, so that the next start does not send it', async () => {
  const { client, file, parking } = await useParking({ most: 0 })
  await client.hSet('registry', '7', '1:1:list')
  const at = { settled: 'settled', registry: 'registry', claim: 7, index: 4 }
  expect(await parking.park(makeItem(acknowledger, '1000', 0), 'refused', 'no', at)).toBe(true)
  expect([(await entriesOf(file)).length, await client.sMembers('settled')]).toEqual([1, ['4']])
})

test('a removed entry leaves none of its bytes in the file, the others can still be removed, and an empty file is deleted', async () => {
  const { client, file, metrics, parking } = await useParking({ most: 0 })
  const park = (n: number) => parking.park(makeItem(acknowledger, '1000', n, { word: `word${n}` }), 'refused', 'no')
  for (let n = 0; n < 3; n++) await park(n)
  const list = openOverflowList(file)
  const entries = (await toArray(list.pages({}))).flatMap((page) => page.entries)
  expect(await list.remove(entries[1]?.raw as Buffer)).toBe(true)
  expect(await list.remove(entries[1]?.raw as Buffer)).toBe(false)
  // Meanwhile the relay appends.
  await park(3)
  expect((await entriesOf(file)).map(({ id }) => id)).toEqual([0, 2, 3].map((n) => `main/p/2000/${n}`))
  expect(await readFile(file, 'utf8')).not.toContain('word1')
  await parking.measure()
  expect(await metrics.parkedFile.get()).toMatchObject({ values: [{ value: 3 }] })
  for (const entry of [entries[0], entries[2]]) expect(await list.remove(entry?.raw as Buffer)).toBe(true)
  const rest = openOverflowList(file)
  for await (const page of rest.pages({})) for (const { raw } of page.entries) await rest.remove(raw)
  await parking.measure()
  await expect(stat(file)).rejects.toThrow('ENOENT')
  expect(await client.exists('enigma:relay:parked:files')).toBe(0)
  await park(4)
  expect((await entriesOf(file)).map(({ id }) => id)).toEqual(['main/p/2000/4'])
})

test('a line that a crash cut short spoils no later line, and parking waits while the file cannot be written', async () => {
  const { file, end, options } = await useParking({ most: 0 })
  const { appendFile, mkdir, rm } = await import('node:fs/promises')
  await appendFile(file, '{"id":"main/l/1/1","rea')
  const parking = createParking(options)
  expect(await parking.park(makeItem(acknowledger, '1000', 0), 'refused', 'no')).toBe(true)
  expect((await entriesOf(file)).map(({ kind }) => kind)).toEqual(['unreadable', 'parked'])
  const blocked = join(file, '..', 'blocked')
  await mkdir(blocked)
  const later = createParking({ ...options, file: blocked })
  const parked = later.park(makeItem(acknowledger, '1000', 1), 'refused', 'no')
  await new Promise((resolve) => setTimeout(resolve, 100))
  await rm(blocked, { recursive: true })
  expect(await parked).toBe(true)
  expect((await entriesOf(blocked)).map(({ id }) => id)).toEqual(['main/p/2000/1'])
  expect(end.signal.aborted).toBe(false)
})
