import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatBatch } from '../../../src/relay/targets/sqs/sqs-target.ts'
import { contents, makeParcels, toEntries } from '../../support/parcels.ts'

const QUEUE = 'https://sqs.eu-west-1.amazonaws.com/123456789012/enigma-agents-status.fifo'

const parse = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))

test('the body of a request is JSON with each pack in the format of the SQS API, byte for byte', async () => {
  const urls = fc.oneof(
    fc.constant(QUEUE),
    fc.string({ unit: 'binary' }).filter((url) => url.isWellFormed()),
  )
  await fc.assert(
    fc.asyncProperty(urls, contents, async (url, many) => {
      const parcels = await makeParcels(many)
      const { bytes, release } = formatBatch(url, parcels)
      expect(parse(bytes)).toEqual({ QueueUrl: url, Entries: toEntries(parcels) })
      release()
    }),
    { numRuns: 200 },
  )
})

/** Returns a packet of about this many bytes, each of which is escaped. */
const quoted = (bytes: number) => Buffer.from(`"${'\\'.repeat(bytes - 2)}"`)

test('a request whose every byte is escaped fits into its buffer, at every size', async () => {
  for (let bytes = 31_000; bytes < 34_000; bytes += 74)
    for (const count of [1, 10]) {
      const one = { reference: '"'.repeat(40), isGzipped: false, packets: [quoted(2 * Math.round(bytes / count / 2))] }
      const parcels = await makeParcels(Array.from({ length: count }, () => one))
      // The buffer is not released, so that no later request reuses one that is larger than it needs.
      expect(parse(formatBatch(QUEUE, parcels).bytes)).toEqual({ QueueUrl: QUEUE, Entries: toEntries(parcels) })
    }
})

test('a buffer belongs to one request until it is released, whatever the order of requests and releases', async () => {
  const sizes = [1, 200, 40_000, 100_000]
  const requests = await Promise.all(
    sizes.map(async (size) => {
      const packets = [Buffer.from(`{"type":"status","payload":"${String(size).repeat(size)}"}`)]
      const parcels = await makeParcels([{ reference: '1', isGzipped: false, packets }])
      return { parcels, expected: Buffer.from(JSON.stringify({ QueueUrl: QUEUE, Entries: toEntries(parcels) })) }
    }),
  )
  const steps = fc.array(fc.record({ take: fc.boolean(), size: fc.nat({ max: sizes.length - 1 }), which: fc.nat() }), {
    minLength: 10,
    maxLength: 60,
  })
  let reused = 0
  fc.assert(
    fc.property(steps, (all) => {
      const former = new Set<ArrayBufferLike>()
      const live: { bytes: Buffer; release: () => void; expected: Buffer }[] = []
      for (const { take, size, which } of all) {
        const { parcels, expected } = requests[size] as (typeof requests)[number]
        if (take) {
          const body = formatBatch(QUEUE, parcels)
          if (former.delete(body.bytes.buffer)) reused++
          expect(live.map(({ bytes }) => bytes.buffer)).not.toContain(body.bytes.buffer)
          live.push({ ...body, expected })
        } else if (live.length > 0) {
          const [done] = live.splice(which % live.length, 1)
          done?.release()
          if (done !== undefined) former.add(done.bytes.buffer)
        }
        // The requests in flight are unchanged.
        expect(live.every(({ bytes, expected: own }) => bytes.equals(own))).toBe(true)
      }
      for (const { release } of live) release()
    }),
    { numRuns: 100 },
  )
  expect(reused).toBeGreaterThan(100)
})
