import fc from 'fast-check'
import { BASE_KEY, formatPacket, OTHER, RELAY_TYPE } from '../../src/protocol/index.ts'
import { ROUTES } from '../support/routes.ts'

/** A packet that a faulty dialler might write, and its key. */
export type Sample = { readonly transport: 'list' | 'pubsub'; readonly key: Buffer; readonly packet: Buffer }

/** The lists that the relay consumes. An environment variable names them, so they are text without commas. */
export const LISTS = [
  `${BASE_KEY}:campaigns`,
  `${BASE_KEY}:cdr`,
  `${BASE_KEY}:inbound`,
  BASE_KEY,
  `${BASE_KEY}:`,
  `${BASE_KEY}::`,
  `${BASE_KEY}:robots:ü 💃`,
  'fuzz:outside',
] as const

/** The patterns to which the relay subscribes. They match channels inside and outside the key scheme. */
export const CHANNELS = [`${BASE_KEY}*`, 'fuzz*'] as const

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array))
const text = (maxLength: number) =>
  fc.oneof(
    fc.string({ maxLength }),
    fc.string({ unit: 'grapheme', maxLength }),
    fc.string({ unit: 'binary', maxLength }),
  )

const types = fc.constantFrom(
  'agents',
  'agent',
  'campaigns',
  'campaign',
  'inbound',
  'dialers',
  'dialler',
  'relay',
  'robots',
  '*',
  '',
  '__proto__',
  'cdr',
)
const references = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('1002', '1003', '18446744073709551615', '00', '-1', '') },
  fc.constantFrom(
    '.',
    '..',
    'a/b',
    '%2e%2e',
    'a:b:c',
    'a b',
    '"',
    '\\',
    '\n',
    '\0',
    'ü',
    '💃',
    '?x=1#y',
    'x'.repeat(600),
    'constructor',
  ),
  text(20),
)
const channels = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(types, references).map(([type, reference]) => Buffer.from(`${BASE_KEY}:${type}:${reference}`)),
  },
  { weight: 1, arbitrary: types.map((type) => Buffer.from(`${BASE_KEY}:${type}`)) },
  fc.constantFrom(BASE_KEY, `${BASE_KEY}x`, `${BASE_KEY}:`, 'fuzz').map((key) => Buffer.from(key)),
  fc
    .tuple(fc.constantFrom(`${BASE_KEY}:agents:`, `${BASE_KEY}:`, BASE_KEY, 'fuzz:'), bytes(24))
    .map(([prefix, rest]) => Buffer.concat([Buffer.from(prefix), rest])),
)

const subTypes = fc.constantFrom(
  'status',
  'call',
  'stats',
  'cdr',
  'dial_preview',
  'gap',
  'parked',
  'dance',
  '*',
  '',
  '__proto__',
)
const scalars = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.bigInt().map(String),
  text(12),
  fc.boolean(),
  fc.constant(null),
  fc.constantFrom('1002', 'busy', '27821234567', '2026-01-01T00:00:00Z', 1_764_000_000, '1764000000', -1, 1e308, 0.1),
)
const fields = fc.constantFrom(
  'ref',
  'status',
  'campaign_ref',
  'call_ref',
  'agent',
  'contact_ref',
  'number',
  'dial_number',
  'dialed_at',
  'end_reason',
  'end_code',
  'call_time',
  'hold_time',
  'callees',
  'calls',
  'talk_time',
  'total_calls',
  'recording_url',
  'source',
  'from',
  'to',
  'id',
  'n',
)
const values = fc.oneof(
  { weight: 6, arbitrary: scalars },
  fc.array(scalars, { maxLength: 3 }),
  fc.dictionary(fields, scalars, { maxKeys: 3 }),
  fc.array(fc.dictionary(fields, scalars, { maxKeys: 2 }), { maxLength: 2 }),
)
const payloads = fc.oneof(
  { weight: 3, arbitrary: fc.dictionary(fields, values, { maxKeys: 6 }) },
  {
    weight: 2,
    arbitrary: fc.record({
      call_ref: scalars,
      dialed_at: fc.integer({ min: 0 }),
      number: scalars,
      end_reason: scalars,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ ref: scalars, status: scalars, campaign_ref: scalars, callees: fc.constant([]) }),
  },
  fc.jsonValue({ maxDepth: 3 }),
)
const valid = (packetTypes: fc.Arbitrary<string>) =>
  fc.tuple(packetTypes, payloads).map(([type, payload]) => formatPacket({ type, payload }))

const digits = fc.constantFrom(
  '1e400',
  '-1e400',
  '9'.repeat(40),
  '18446744073709551615',
  '0.1e-400',
  '-0',
  '1' + '0'.repeat(400),
)
const inserts = fc.constantFrom(
  Buffer.from([0xff]),
  Buffer.from([0xc0, 0x80]),
  Buffer.from([0xed, 0xa0, 0x80]),
  Buffer.from([0xef, 0xbb, 0xbf]),
  Buffer.from([0]),
  Buffer.from([0xef, 0xbf, 0xbe]),
  ...[
    '💃',
    '\\ud800',
    '\\udc00\\ud800',
    '\\u0000',
    '"',
    '\\',
    '\u2028',
    '\uffff',
    ' ',
    '\n',
    ',',
    '}',
    ']',
    '"type":"call",',
    '"payload":{},',
    '"__proto__":{"x":1},',
    '{"a":'.repeat(300),
  ].map((one) => Buffer.from(one)),
)

/** Ways to damage a packet. Each returns changed bytes. */
const mutations: fc.Arbitrary<(b: Buffer) => Buffer> = fc.oneof(
  fc.tuple(fc.nat(), fc.nat(255)).map(
    ([at, byte]) =>
      (b: Buffer) =>
        b.length === 0
          ? b
          : Buffer.concat([b.subarray(0, at % b.length), Buffer.of(byte), b.subarray((at % b.length) + 1)]),
  ),
  fc.nat().map((at) => (b: Buffer) => b.subarray(0, at % (b.length + 1))),
  fc.tuple(fc.nat(), inserts).map(
    ([at, part]) =>
      (b: Buffer) =>
        Buffer.concat([b.subarray(0, at % (b.length + 1)), part, b.subarray(at % (b.length + 1))]),
  ),
  digits.map((number) => (b: Buffer) => Buffer.from(b.toString('latin1').replace(/-?\d+/, number), 'latin1')),
  fc
    .integer({ min: 1, max: 4_000 })
    .map((depth) => (b: Buffer) => Buffer.concat([Buffer.from('['.repeat(depth)), b, Buffer.from(']'.repeat(depth))])),
  fc
    .constantFrom(' ', '\n', '\t ')
    .map((space) => (b: Buffer) => Buffer.from(`${space}${b.toString('latin1')}${space}`, 'latin1')),
  fc.nat().map((at) => (b: Buffer) => Buffer.concat([b, b.subarray(at % (b.length + 1))])),
)
const mutated = (packetTypes: fc.Arbitrary<string>) =>
  fc
    .tuple(valid(packetTypes), fc.array(mutations, { minLength: 1, maxLength: 3 }))
    .map(([packet, each]) => each.reduce<Buffer>((b, mutate) => mutate(b), Buffer.from(packet)))

/** Large packets. They may exceed the message limit unless gzipped. `noise` exceeds it even when gzipped. */
const long = fc
  .tuple(fc.constantFrom('a', '💃', '"', '\\u0000', '\xff'), fc.integer({ min: 60_000, max: 400_000 }))
  .map(([unit, length]) => {
    const part = Buffer.from(unit, unit === '\xff' ? 'latin1' : 'utf8')
    return Buffer.concat([
      Buffer.from('{"type":"status","payload":{"status":"'),
      Buffer.alloc(length, part),
      Buffer.from('"}}'),
    ])
  })
const noise = fc.integer().map((seed) => {
  const words = new Uint32Array(120_000)
  let state = seed | 1
  for (let at = 0; at < words.length; at++) words[at] = state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + at
  return Buffer.from(words.buffer)
})

const packetsOf = (packetTypes: fc.Arbitrary<string>): fc.Arbitrary<Buffer> =>
  fc.oneof(
    { weight: 60, arbitrary: valid(packetTypes).map((packet) => Buffer.from(packet)) },
    { weight: 100, arbitrary: mutated(packetTypes) },
    { weight: 20, arbitrary: bytes(60) },
    { weight: 20, arbitrary: text(40).map((one) => Buffer.from(one)) },
    { weight: 10, arbitrary: fc.json().map((one) => Buffer.from(one)) },
    { weight: 2, arbitrary: fc.constant(Buffer.alloc(0)) },
    { weight: 1, arbitrary: fc.oneof({ weight: 4, arbitrary: long }, noise) },
  )
const sampleOf = (
  transport: Sample['transport'],
  key: fc.Arbitrary<Buffer>,
  packetTypes: fc.Arbitrary<string>,
): fc.Arbitrary<Sample> => fc.record({ transport: fc.constant(transport), key, packet: packetsOf(packetTypes) })

/** Packets that mostly find their route: the packet's type is a sub_type of the key's type. */
const routed = ROUTES.all
  .filter(({ type }) => type !== OTHER.type && type !== RELAY_TYPE)
  .map(({ type, subType }) =>
    sampleOf(
      'pubsub',
      references.map((reference) => Buffer.from(`${BASE_KEY}:${type}:${reference}`)),
      fc.constant(subType),
    ),
  )
const cdrs = [`${BASE_KEY}:campaigns`, `${BASE_KEY}:cdr`].map((list) =>
  sampleOf('list', fc.constant(Buffer.from(list)), fc.constant('cdr')),
)

/** Random and mutated packets, on keys inside and outside the key scheme. */
export const samples: fc.Arbitrary<Sample> = fc.oneof(
  ...[...routed, ...cdrs, ...cdrs].map((arbitrary) => ({ weight: 2, arbitrary })),
  { weight: 6, arbitrary: sampleOf('pubsub', channels, subTypes) },
  {
    weight: 6,
    arbitrary: sampleOf(
      'list',
      fc.constantFrom(...LISTS).map((key) => Buffer.from(key)),
      subTypes,
    ),
  },
)

/** Formats a sample in one line, short enough to read. Up to 2,000 bytes are exact, so that the sample can be sent again. */
export function formatSample({ transport, key, packet }: Sample): string {
  const show = (b: Buffer) =>
    b.length > 2_000
      ? `${b.length} bytes, ${b.subarray(0, 60).toString('latin1')}…`
      : Buffer.from(b.toString()).equals(b)
        ? JSON.stringify(b.toString())
        : `hex ${b.toString('hex')}`
  return `${transport} ${show(key)} ← ${show(packet)}`
}
