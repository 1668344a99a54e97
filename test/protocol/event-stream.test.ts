import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  createEventStream,
  formatEvent,
  readPacket,
  textOf,
  toBytes,
  toText,
  type EventPlace,
  type EventStream,
  type Notification,
  type Transport,
} from '../../src/protocol/index.ts'

const LETTERS: Readonly<Record<Transport, string>> = { list: 'l', pubsub: 'p', resync: 'r', relay: 'o' }

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0').slice(-digits)

/** FNV-1a, of 32 bits. Source: http://www.isthe.com/chongo/tech/comp/fnv/ */
const fnv = (text: string) => {
  let hash = 0x811c9dc5n
  for (let at = 0; at < text.length; at++) hash = ((hash ^ BigInt(text.charCodeAt(at))) * 0x01000193n) & 0xffff_ffffn
  return Number(hash)
}

/** Makes the notification that an event stream describes, without any state kept between events. */
function toNotification(
  { sourceId, ...stream }: EventStream,
  { number, index, timeMs, maxWaitMs }: EventPlace,
  data: string | Uint8Array,
  datacontenttype: string,
): Notification {
  const letter = LETTERS[stream.transport]
  const [trace, span] = [hex(letter.charCodeAt(0), 2) + hex(number, 14), hex(letter.charCodeAt(0), 2) + hex(number, 8)]
  return {
    ...stream,
    id: `${sourceId}/${letter}/${number}/${index}`,
    source: `/enigma/${sourceId}`,
    time: new Date(timeMs).toISOString(),
    datacontenttype,
    data,
    sequence: `${String(number).padStart(16, '0')}.${String(index).padStart(10, '0')}`,
    traceparent: `00-${hex(fnv(sourceId), 8)}${trace}${hex(index, 8)}-${span}${hex(index, 8).slice(2)}-01`,
    maxwaitms: maxWaitMs,
  }
}

const odd = fc.oneof(
  fc.constantFrom(
    '',
    'main',
    '1002',
    'enigma:notifications:agents:1002',
    'Zürich',
    '"',
    '\\',
    '😀',
    '\ud800',
    '\u007f\u0085',
    '\ufffe',
    '\u2028',
    '\n\t\u0000',
  ),
  fc.string({ unit: 'binary' }),
)
const streams: fc.Arbitrary<EventStream> = fc.record({
  sourceId: fc.oneof({ weight: 2, arbitrary: fc.constantFrom('main', 'b') }, odd),
  type: fc.oneof(fc.constant('enigma.agents.call'), odd),
  subject: fc.option(odd, { nil: undefined }),
  transport: fc.constantFrom('list', 'pubsub', 'resync', 'relay'),
  channel: odd,
  reason: fc.option(odd, { nil: undefined }),
})
const places: fc.Arbitrary<EventPlace> = fc.record({
  // Few different values, so that parts kept from the previous event can be used again now and then.
  number: fc.oneof(fc.constantFrom(0, 1, 1_764_000_000_000), fc.nat({ max: Number.MAX_SAFE_INTEGER })),
  index: fc.oneof(fc.constantFrom(0, 1), fc.nat()),
  timeMs: fc.oneof(fc.constantFrom(0, 1_764_000_000_000), fc.integer({ min: -1e13, max: 1e14 })),
  maxWaitMs: fc.option(fc.oneof(fc.constantFrom(-1, 0, 0.4, 1e12), fc.nat()), { nil: undefined }),
})
const space = fc.constantFrom('', '', ' ', '\n', '\t\r\n', '\ufeff')
const json = fc.oneof(
  fc.tuple(space, fc.json({ stringUnit: 'binary' }), space).map((parts) => parts.join('')),
  fc.constantFrom(
    '{"type":"call"}',
    '{\t"type" :\r\n"é"}',
    '{"type":"😀"}',
    '{"type":"\u007f\ufffe"}',
    '"\\ud800"',
    '0',
  ),
)
type Packet = { readonly bytes: Uint8Array; readonly data: string | Uint8Array; readonly contentType: string }
const packets: fc.Arbitrary<Packet> = fc.oneof(
  // As the relay stamps them.
  fc.oneof(json.map(toBytes), odd.map(toBytes), fc.uint8Array()).map((bytes) => ({ bytes, ...readPacket(bytes) })),
  // As any other caller may pass them.
  fc
    .tuple(
      json,
      fc.constantFrom(
        'application/json',
        'application/cloudevents+json',
        'application/json; charset=utf-8',
        'text/plain',
        'Application/JSON',
      ),
    )
    .map(([text, contentType]) => ({ bytes: toBytes(text), data: toText(toBytes(text)) as string, contentType })),
)

test('an event stream makes the same text as formatEvent, whatever its contents, and gives its length in bytes', () => {
  fc.assert(
    fc.property(
      fc.array(streams, { minLength: 1, maxLength: 3 }),
      fc.array(fc.tuple(fc.nat({ max: 2 }), places, packets), { minLength: 1, maxLength: 6 }),
      (many, events) => {
        const toEvents = many.map(createEventStream)
        for (const [n, place, { bytes, data, contentType }] of events) {
          const stream = many[n % many.length] as EventStream
          const notification = toNotification(stream, place, data, contentType)
          const stamped = toEvents[n % many.length]?.(bytes, data, contentType, place)
          const text = textOf(stamped as { head: string; data: Uint8Array | undefined })
          expect(text).toBe(formatEvent(notification))
          expect(stamped).toMatchObject({ id: notification.id, bytes: Buffer.byteLength(text) })
          // Bytes that go in unchanged are not copied.
          expect([undefined, bytes]).toContain(stamped?.data)
        }
      },
    ),
    { numRuns: 2_000 },
  )
})

test('the bytes of a packet go into an event unchanged exactly if an event may hold its text', () => {
  const stream = { sourceId: 'main', type: 'enigma.agents.call', transport: 'pubsub', channel: 'c' } as const
  const place = { number: 1, index: 2, timeMs: 3 }
  const goesIn = (text: string) => {
    const bytes = toBytes(text)
    const { data, contentType } = readPacket(bytes)
    return createEventStream(stream)(bytes, data, contentType, place).data === bytes
  }
  expect(['{"type":"call"}', '{"a":\n"é"}', '0', '"\u007f"'].map(goesIn)).toEqual([true, true, true, true])
  expect([' {}', '{}\n', '\ufeff{}', '{"a":"😀"}', 'no JSON', ''].map(goesIn)).toEqual(Array(6).fill(false))
})
