import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatPacket, orderKey, parseExact, readPacket, readPacketText, toBytes } from '../../src/protocol/index.ts'

test.each([
  ['', 'empty', 'text/plain'],
  ['nonsense', 'not_json', 'text/plain'],
  ['\ufeff', 'not_json', 'text/plain'],
  ['\ufeff\ufeff{"type":"status"}', 'not_json', 'text/plain'],
  ['\ufeff{"payload":{}}', 'no_type', 'application/json'],
  ['{"type":"status"}\ufeff', 'not_json', 'text/plain'],
  ['[{"type":"status"}]', 'not_object', 'application/json'],
  ['"status"', 'not_object', 'application/json'],
  ['null', 'not_object', 'application/json'],
  ['{"payload":{}}', 'no_type', 'application/json'],
  ['{"type":null}', 'no_type', 'application/json'],
  ['{"type":5}', 'type_not_string', 'application/json'],
  ['{"type":["status"]}', 'type_not_string', 'application/json'],
])('%j is %s', (text, fault, contentType) => {
  expect(readPacketText(text)).toEqual({ data: text, contentType, fault })
})

test('bytes that are not UTF-8 stay bytes', () => {
  const bytes = new Uint8Array([0x7b, 0xff, 0x7d])
  expect(readPacket(bytes)).toEqual({ data: bytes, contentType: 'application/octet-stream', fault: 'not_utf8' })
})

test('any input can be read, and its bytes are kept', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.uint8Array(), fc.string({ unit: 'grapheme' }).map(toBytes), fc.json().map(toBytes)),
      (bytes) => {
        expect(Buffer.from(toBytes(readPacket(bytes).data)).equals(Buffer.from(bytes))).toBe(true)
      },
    ),
    { numRuns: 2_000 },
  )
})

test('a packet that formatPacket wrote is read back unchanged', () => {
  expect(readPacketText(formatPacket({ type: 'status', payload: { ref: '1002' } })).packet).toEqual({
    type: 'status',
    payload: { ref: '1002' },
  })
})

test('integers above 2^53 keep their digits in parseExact and in readPacketText', () => {
  expect(
    parseExact('{"a":9007199254740993,"b":[-12345678901234567890],"c":1e400,"d":1.5,"e":9007199254740991}'),
  ).toEqual({
    a: '9007199254740993',
    b: ['-12345678901234567890'],
    c: Number.POSITIVE_INFINITY,
    d: 1.5,
    e: 9007199254740991,
  })
  expect(readPacketText('{"type":"cdr","payload":{"call_ref":9007199254740993}}').packet?.payload).toEqual({
    call_ref: '9007199254740993',
  })
  expect(readPacketText('{"type":"cdr","payload":{"call_ref":7}}').packet?.payload).toEqual({ call_ref: 7 })
})

test('a packet after a byte order mark is read, and its data keep the mark', () => {
  const bytes = toBytes('\ufeff{"type":"call","payload":{"call_ref":1.10}}')
  const read = readPacket(bytes)
  expect(read.packet).toEqual({ type: 'call', payload: { call_ref: '1.10' } })
  expect(Buffer.from(toBytes(read.data)).equals(bytes)).toBe(true)
  expect(parseExact(read.data as string)).toEqual({ type: 'call', payload: { call_ref: '1.10' } })
})

const digits = fc.stringMatching(/^\d{1,22}$/).map((text) => text.replace(/^0+(?=\d)/, ''))
const exponent = fc.oneof(
  fc.constant(''),
  fc
    .tuple(fc.constantFrom('e', 'E'), fc.constantFrom('', '+', '-'), fc.integer({ min: 0, max: 400 }))
    .map((parts) => parts.join('')),
)
const fraction = fc.oneof(
  fc.constant(''),
  fc.stringMatching(/^\d{1,20}$/).map((text) => `.${text}`),
)
/** Any number as JSON writes it. */
const jsonNumber = fc.tuple(fc.constantFrom('', '-'), digits, fraction, exponent).map((parts) => parts.join(''))

test('a number in an identifying field keeps its digits, in a packet, in a payload and as an order key', () => {
  fc.assert(
    fc.property(jsonNumber, fc.constantFrom('', ' ', '\n'), (number, space) => {
      const text = `{"type":"cdr",${space}"payload":{"x":[${space}${number}],"call_ref":${space}${number}${space},"call_time":${number}}}`
      for (const payload of [
        readPacketText(text).packet?.payload,
        (parseExact(text) as { payload: unknown }).payload,
        parseExact(text.slice(text.indexOf('{"x"'), -1)),
      ]) {
        const { call_ref, call_time } = payload as Record<string, unknown>
        expect(String(call_ref)).toBe(number)
        expect(Number(call_time)).toBe(Number(number))
        expect(orderKey(undefined, payload)).toBe(number)
      }
    }),
    { numRuns: 3_000 },
  )
})
