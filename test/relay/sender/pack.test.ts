import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { parseEvents, readBody, textOf } from '../../../src/protocol/index.ts'
import { bodyOf, countForPack, toGzippedPack, toPack, type Pack } from '../../../src/relay/sender/lane.ts'
import { createAcknowledger, makeItem, readNumbers } from '../../support/items.ts'
import { routeOf } from '../../support/routes.ts'

const MIB = 1024 * 1024
const route = routeOf('agents', 'status')
const { acknowledger } = createAcknowledger()
const make = (n: number, padding = 0) => makeItem(acknowledger, '1002', n, { padding: 'x'.repeat(padding) })

test('at most 200 notifications go into a pack', () => {
  const waiting = Array.from({ length: 500 }, (_, n) => ({ ...make(n), bytes: 10 }))
  expect(countForPack(waiting, 0, route, MIB)).toBe(200)
  expect(countForPack(waiting, 450, route, MIB)).toBe(50)
})

test('a body is within 64 KiB, and one notification more would not be', () => {
  const waiting = Array.from({ length: 100 }, (_, n) => make(n, 1_500))
  const count = countForPack(waiting, 0, route, MIB)
  const bytesOf = (n: number) => Buffer.byteLength(bodyOf(toPack(waiting.slice(0, n), MIB) as Pack))
  expect(bytesOf(count)).toBeLessThanOrEqual(64 * 1024)
  expect(bytesOf(count + 1)).toBeGreaterThan(64 * 1024)
})

test('a notification that is larger than a pack is sent alone', () => {
  expect(countForPack([make(0, 200_000), make(1)], 0, route, MIB)).toBe(1)
  expect(countForPack([make(0), make(1, 200_000), make(2)], 0, route, MIB)).toBe(1)
})

test('a queue whose limit is smaller than a pack sets the limit', () => {
  const waiting = Array.from({ length: 100 }, (_, n) => make(n, 700))
  const count = countForPack(waiting, 0, route, 10_000)
  expect(toPack(waiting.slice(0, count), 10_000)).toBeDefined()
})

test('the size of a pack is the size of its body, alone and with others', () => {
  for (const count of [1, 2, 7]) {
    const pack = toPack(
      Array.from({ length: count }, (_, n) => makeItem(acknowledger, '1002', n, { word: 'für' })),
      MIB,
    )
    expect(pack?.bytes).toBe(Buffer.byteLength(bodyOf(pack as Pack)))
  }
})

test('one notification is the event itself, several are a batch in their order', () => {
  expect(JSON.parse(bodyOf(toPack([make(1)], MIB) as Pack))).toMatchObject({ specversion: '1.0' })
  expect(readNumbers(bodyOf(toPack([make(3), make(1), make(2)], MIB) as Pack)).map(({ n }) => n)).toEqual([3, 1, 2])
})

test('a notification over the limit makes no plain pack; gzipped it fits and is read back unchanged', async () => {
  const item = make(0, 3 * MIB)
  expect(toPack([item], MIB)).toBeUndefined()
  const pack = await toGzippedPack([item], MIB)
  expect(pack?.gzipped).toMatch(/^H4sI/)
  expect(pack?.bytes).toBeGreaterThan(pack?.gzipped?.length ?? 0)
  expect(pack?.bytes).toBeLessThanOrEqual(MIB)
  expect(await readBody(bodyOf(pack as Pack), 'gzip')).toEqual(parseEvents(textOf(item)))
})

test('a notification that gzip cannot make small enough makes no pack', async () => {
  expect(
    await toGzippedPack([makeItem(acknowledger, '1002', 0, { noise: randomBytes(2 * MIB).toString('base64') })], MIB),
  ).toBeUndefined()
})

test('the deduplication id depends on the ids alone: the same for a copy, another for any other pack', () => {
  const idOf = (...numbers: number[]) =>
    toPack(
      numbers.map((n) => make(n)),
      MIB,
    )?.deduplicationId
  expect(idOf(1, 2)).toBe(idOf(1, 2))
  expect(toPack([make(1, 500)], MIB)?.deduplicationId).toBe(idOf(1))
  const others = [idOf(1), idOf(2), idOf(1, 2), idOf(2, 1), idOf(1, 2, 3), idOf(12, 3)]
  expect(new Set(others).size).toBe(others.length)
  for (const id of others) expect(id).toMatch(/^[0-9a-f]{64}$/)
})
