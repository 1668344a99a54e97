import fc from 'fast-check'
import { expect, test } from 'vitest'
import { firstMatch, matchesPattern } from '../../../src/relay/pubsub/subscription.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'

test.each([
  ['enigma:notifications*', 'enigma:notifications:agents:1002', true],
  ['enigma:notifications*', 'enigma:notifications', true],
  ['enigma:notifications:*', 'enigma:notifications', false],
  ['enigma:notifications:agents:1002', 'enigma:notifications:agents:1002', true],
  ['enigma:notifications:agents:1002', 'enigma:notifications:agents:10022', false],
  ['enigma:notifications:agents:100?', 'enigma:notifications:agents:1002', true],
  ['enigma:notifications:agents:100[1-3]', 'enigma:notifications:agents:1002', true],
  ['enigma:notifications:agents:100[^1-3]', 'enigma:notifications:agents:1002', false],
  ['a\\*b', 'a*b', true],
  ['a\\*b', 'axb', false],
  ['[3-1]', '2', true],
  ['[ab', 'b', true],
  ['*a*b*c*', 'xxaxxbxx', false],
  ['', '', true],
])('%s and %s: %s', (pattern, text, matches) => {
  expect(matchesPattern(pattern, text)).toBe(matches)
})

test('any pattern matches the same channels as PSUBSCRIBE of a real Redis, byte for byte', async () => {
  const server = await useRedisServer()
  const [listener, publisher] = [await useRedisClient(server.url), await useRedisClient(server.url)]
  const text = (units: string[], maxLength: number) =>
    fc.array(fc.constantFrom(...units), { maxLength }).map((parts) => parts.join(''))
  const latin1 = (string: string) => Buffer.from(string).toString('latin1')
  // In Redis 7 a star does not match the empty channel, in other versions it does. No dialler uses an empty channel.
  const notEmpty = (channel: string) => channel || 'a'
  const property = fc.asyncProperty(
    text(['a', 'b', 'é', '*', '?', '[', ']', '^', '-', '\\'], 9),
    fc.array(text(['a', 'b', 'é', '[', ']', '^', '-', '\\'], 6).map(notEmpty), { minLength: 5, maxLength: 5 }),
    async (pattern, channels) => {
      await listener.pSubscribe(pattern, () => undefined)
      const heard = await Promise.all(channels.map(async (channel) => (await publisher.publish(channel, '')) === 1))
      await listener.pUnsubscribe(pattern)
      expect(channels.map((channel) => matchesPattern(latin1(pattern), latin1(channel)))).toEqual(heard)
    },
  )
  await fc.assert(property, { numRuns: 600 })
})

test('a pattern of many stars against a long channel is answered without trying every split', () => {
  expect(matchesPattern(`${'*a'.repeat(40)}b`, 'a'.repeat(20_000))).toBe(false)
})

test('if patterns overlap, the first match counts', () => {
  const patterns = ['enigma:notifications:agents:*', 'enigma:notifications*']
  expect(firstMatch(patterns, 'enigma:notifications:agents:1002')).toBe(patterns[0])
  expect(firstMatch(patterns, 'enigma:notifications:campaigns:7')).toBe(patterns[1])
  expect(firstMatch(patterns, 'another')).toBeUndefined()
})
