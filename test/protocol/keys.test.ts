import fc from 'fast-check'
import { expect, test } from 'vitest'
import { canonicalType, formatKey, parseKey, type Key } from '../../src/protocol/index.ts'

test.each<[string, Key | undefined]>([
  ['enigma:notifications', {}],
  ['enigma:notifications:agents', { type: 'agents' }],
  ['enigma:notifications:agents:1002', { type: 'agents', reference: '1002' }],
  ['enigma:notifications:agent:1002', { type: 'agent', reference: '1002' }],
  ['enigma:notifications:agents:10:02', { type: 'agents', reference: '10:02' }],
  ['enigma:notifications:', { type: '' }],
  ['enigma:notifications:agents:', { type: 'agents', reference: '' }],
  ['enigma:notifications::x', { type: '', reference: 'x' }],
  ['enigma:notificationsx', undefined],
  ['enigma:notification:agents', undefined],
  ['', undefined],
  ['other', undefined],
])('%s', (key, parsed) => {
  expect(parseKey(key)).toEqual(parsed)
  if (parsed !== undefined) expect(formatKey(parsed)).toBe(key)
})

const anyText = fc.string({ unit: 'binary' })
const type = anyText.filter((text) => !text.includes(':'))
const anyKey: fc.Arbitrary<Key> = fc.oneof(
  fc.constant({}),
  fc.record({ type }),
  fc.record({ type, reference: anyText }),
)

test('a formatted key is parsed to the same key, for any type and reference', () => {
  fc.assert(
    fc.property(anyKey, (key) => {
      expect(parseKey(formatKey(key))).toEqual(key)
    }),
    { numRuns: 2_000 },
  )
})

test('a parsed key is formatted to the same text, for any text after the base', () => {
  fc.assert(
    fc.property(anyText, (rest) => {
      const key = `enigma:notifications:${rest}`
      const parsed = parseKey(key)
      expect(parsed).toBeDefined()
      expect(formatKey(parsed as Key)).toBe(key)
    }),
    { numRuns: 2_000 },
  )
})

test('a type with a colon is refused: it would be read as a reference', () => {
  expect(() => formatKey({ type: 'a:b' })).toThrow(expect.objectContaining({ code: 'protocol.key.invalid' }) as Error)
})

test('singular types become plural; unknown types stay, even if they are names of object members', () => {
  expect(
    ['agent', 'agents', 'campaign', 'dialer', 'inbound', 'mood', 'constructor', '__proto__'].map(canonicalType),
  ).toEqual(['agents', 'agents', 'campaigns', 'dialers', 'inbound', 'mood', 'constructor', '__proto__'])
})
