import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { hashPatterns, parseHeartbeat } from '../../../src/relay/pubsub/subscription.ts'

const sealed = (number: string) =>
  `${number} ${createHash('sha1').update(`enigma-relay ${number}`).digest('hex').slice(0, 16)}`

test.each(['1', '1764000000000', '999999999999999'])('%s is parsed as the script publishes it', (number) => {
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
  // Numbers outside the accepted range or format, with a valid seal.
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

test('relays with the same patterns in any order share a hash; different patterns have different hashes', () => {
  expect(hashPatterns(['a*', 'ab*'])).toBe(hashPatterns(['a*', 'ab*']))
  expect(hashPatterns(['a*', 'ab*'])).toBe(hashPatterns(['ab*', 'a*', 'ab*']))
  expect(hashPatterns(['a*', 'ab*'])).not.toBe(hashPatterns(['a*']))
  expect(hashPatterns(['a', 'b'])).not.toBe(hashPatterns(['a,b']))
})
