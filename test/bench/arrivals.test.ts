import { expect, test } from 'vitest'
import { toReport, type Arrival } from '../../bench/arrivals.ts'
import { toCdr, toPublished, type Mark } from '../../bench/load.ts'
import { CONTENT_ENCODING, GZIP } from '../../src/protocol/index.ts'
import { bodyOf, toGzippedPack, toPack, type Pack } from '../../src/relay/sender/lane.ts'
import { createAcknowledger, makeItem } from '../support/items.ts'

const arrivalOf = (packet: string, atMs = 0): Arrival => ({ atMs, body: packet, attributes: undefined })
const packetOf = (ref: string, n: number, t?: number) =>
  JSON.stringify({ type: 'status', payload: { ref, n, ...(t === undefined ? {} : { t }) } satisfies Mark })
const arrivals = (...marks: readonly [ref: string, n: number][]) => marks.map(([ref, n]) => arrivalOf(packetOf(ref, n)))

test('a packet that arrives after a later one of its reference is out of order; other references do not matter', async () => {
  expect(await toReport(arrivals(['a', 0], ['a', 2], ['b', 0], ['a', 1], ['b', 1]), 5, 5)).toMatchObject({
    disorder: 1,
    missing: 0,
    copies: 0,
  })
})

test('a copy is counted as a copy, is not out of order, and does not make up for a missing packet', async () => {
  expect(await toReport(arrivals(['a', 0], ['a', 1], ['a', 0]), 3, 3)).toMatchObject({
    disorder: 0,
    copies: 1,
    missing: 1,
  })
})

test('packs of the relay are read, gzipped ones too', async () => {
  const { acknowledger } = createAcknowledger()
  const items = [0, 1, 2, 3].map((n) => makeItem(acknowledger, '1001', n))
  const plain = toPack(items.slice(0, 2), 1_000_000)
  const gzipped = await toGzippedPack(items.slice(2), 1_000_000)
  const came: Arrival[] = [
    { atMs: 0, body: bodyOf(plain as Pack), attributes: undefined },
    { atMs: 0, body: bodyOf(gzipped as Pack), attributes: { [CONTENT_ENCODING]: { StringValue: GZIP } } },
  ]
  expect(await toReport(came, 1, 4)).toMatchObject({
    requests: 1,
    messages: 2,
    notifications: 4,
    missing: 0,
    disorder: 0,
  })
})

test('percentiles are of the time from publishing to arrival', async () => {
  const came = Array.from({ length: 100 }, (_, n) => arrivalOf(packetOf('a', n, 1_000), 1_001 + n))
  expect(await toReport(came, 100, 100)).toMatchObject({ p50Ms: 50, p99Ms: 99, firstMs: 1_001, lastMs: 1_100 })
})

test('without arrivals every packet is missing', async () => {
  expect(await toReport([], 0, 7)).toMatchObject({ notifications: 0, missing: 7, p50Ms: 0, firstMs: 0 })
})

test('packets count 0, 1, 2 … in each reference, in the order in which they are made', async () => {
  const cdrs = Array.from({ length: 5_000 }, (_, index) => arrivalOf(toCdr(index)))
  expect(await toReport(cdrs, 1, 5_000)).toMatchObject({ disorder: 0, copies: 0, missing: 0 })
  const statuses = Array.from({ length: 1_000 }, (_, index) => arrivalOf(toPublished('status', index, 0).packet))
  expect(await toReport(statuses, 1, 1_000)).toMatchObject({ disorder: 0, copies: 0, missing: 0 })
})
