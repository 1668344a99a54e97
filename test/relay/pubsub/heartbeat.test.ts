import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { hashPatterns, parseHeartbeat } from '../../../src/relay/pubsub/subscription.ts'

const sealed = (number: string) =>
  `${number} ${createHash('sha1').update(`enigma-relay ${number}`).digest('hex').slice(0, 16)}`

test.each(['1', '1764000000000', '999999999999999'])('%s as the script publishes it is heard', (number) => {
  expect(parseHeartbeat(sealed(number))).toBe(Number(number))
})

test.each([
  '',
  'hello',
  '1764000000000',
  '9e18',
  '1e999',
  'NaN',
  '1764000000000 0123456789abcdef',
  `${sealed('1764000000000')} `,
  sealed('1764000000000').replace('1764', '1765'),
  // What a script would seal that counts beyond the safe integers.
  sealed('1000000000000000'),
  sealed('9007199254740992'),
  sealed('9000000000000000000'),
  sealed('0'),
  sealed('-1'),
  sealed('1.5'),
  sealed('01764000000000'),
  sealed('inf'),
])('%j is no heartbeat', (message) => {
  expect(parseHeartbeat(message)).toBeUndefined()
})

test('relays with the same patterns share a hash, in whatever order they name them; another set has another', () => {
  expect(hashPatterns(['a*', 'ab*'])).toBe(hashPatterns(['a*', 'ab*']))
  expect(hashPatterns(['a*', 'ab*'])).toBe(hashPatterns(['ab*', 'a*', 'ab*']))
  expect(hashPatterns(['a*', 'ab*'])).not.toBe(hashPatterns(['a*']))
  expect(hashPatterns(['a', 'b'])).not.toBe(hashPatterns(['a,b']))
})
