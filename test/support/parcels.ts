import fc from 'fast-check'
import { laneOf } from '../../src/protocol/index.ts'
import { toItem } from '../../src/relay/item.ts'
import { bodyOf, toGzippedPack, toPack, type Pack } from '../../src/relay/sender/lane.ts'
import type { Parcel } from '../../src/relay/targets/target.ts'
import { createAcknowledger } from './items.ts'
import { stamp } from './routes.ts'

/** Larger than any pack that this file creates. */
const MAX_BYTES = 16 * 1024 * 1024

/** The packets of one message, their reference, and whether the message is gzipped. */
export type Content = { readonly packets: readonly Buffer[]; readonly reference: string; readonly isGzipped: boolean }

const space = fc.constantFrom('', '', ' ', '\t', '\r\n')
const text = fc.oneof(
  fc.constantFrom(
    'busy',
    '"',
    '\\"',
    'é',
    '😀',
    '\u2028\u007f',
    '\b\f\n\r\t',
    '\u0000\u001f',
    '\ud800',
    '\ufffe\uffff',
  ),
  fc.string({ unit: 'binary' }),
)
const packet = fc
  .record({
    type: fc.oneof({ weight: 3, arbitrary: fc.constantFrom('status', 'call') }, text),
    status: text,
    inner: space,
    outer: space,
  })
  .map(({ type, status, inner, outer }) => {
    const parts = `{"type":${JSON.stringify(type)},\n"payload":\t{"ref":"1","status":${JSON.stringify(status)}}}`
    return `${outer}${parts.replaceAll(',', `,${inner}`)}${outer}`
  })

/** Packets that a dialler may write, and random bytes that it should not write. */
export const packets: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 4, arbitrary: packet.map((one) => Buffer.from(one)) },
  { weight: 1, arbitrary: fc.uint8Array().map((bytes) => Buffer.from(bytes)) },
)

/** The messages of a request: one to ten. */
export const contents: fc.Arbitrary<Content[]> = fc.array(
  fc.record({
    packets: fc.array(packets, { minLength: 1, maxLength: 4 }),
    reference: fc.oneof(fc.constantFrom('1002', '7'), text),
    isGzipped: fc.boolean(),
  }),
  { minLength: 1, maxLength: 10 },
)

let index = 0

async function makePack({ packets: all, reference, isGzipped }: Content): Promise<Pack> {
  const { acknowledger } = createAcknowledger()
  const items = all.map((bytes) => {
    const received = {
      sourceId: 'main',
      transport: 'pubsub' as const,
      channel: `enigma:notifications:agents:${reference}`,
      number: 1_764_000_000_000,
      index: index++,
      timeMs: 1_764_000_000_000,
    }
    return toItem(stamp(bytes, received), acknowledger, index)
  })
  return (isGzipped ? await toGzippedPack(items, MAX_BYTES) : toPack(items, MAX_BYTES)) as Pack
}

/** Creates the parcels of a request from packets, as the relay does. Each packet has a different id. */
export const makeParcels = (all: readonly Content[]): Promise<Parcel[]> =>
  Promise.all(
    all.map(async (content) => ({ group: String(laneOf(content.reference, 32)), pack: await makePack(content) })),
  )

/** The entries of the request, as the API of SQS has them. */
export const toEntries = (parcels: readonly Parcel[]) =>
  parcels.map(({ group, pack }, id) => ({
    Id: String(id),
    MessageGroupId: group,
    MessageDeduplicationId: pack.deduplicationId,
    MessageBody: bodyOf(pack),
    ...(pack.gzipped === undefined
      ? {}
      : { MessageAttributes: { 'content-encoding': { DataType: 'String', StringValue: 'gzip' } } }),
  }))
