import { expect, test } from 'vitest'
import { describe } from '../../src/relay/errors.ts'
import { connectionAdvice, redisAdvice } from '../../src/relay/redis-advice.ts'

const withCode = (message: string, code: string) => Object.assign(new Error(message), { code })

test('the words of a script that failed are shown without its digest', () => {
  const words = 'WRONGTYPE Operation against a key holding the wrong kind of value'
  expect(describe(new Error(`${words} script: 123456d1de5476ed9f1f5b2ebd12345678901234, on @user_script:21.`))).toBe(
    words,
  )
})

test.each([
  [new Error('WRONGPASS invalid username-password pair or user is disabled.'), 'correct user and password'],
  [withCode("Hostname/IP does not match certificate's altnames", 'ERR_TLS_CERT_ALTNAME_INVALID'), 'servername='],
  [withCode('self-signed certificate in certificate chain', 'SELF_SIGNED_CERT_IN_CHAIN'), 'caFile='],
  [withCode('unable to verify the first certificate', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'), 'caFile='],
  [withCode('connect ECONNREFUSED 127.0.0.1:1', 'ECONNREFUSED'), 'is it running'],
])('of a connection that fails by %s what mends it is said', (error, words) => {
  expect(connectionAdvice(error)).toContain(words)
})

test('a right that is missing is not called a wrong password', () => {
  expect(redisAdvice(new Error("NOPERM this user has no permissions to run the 'eval' command"))).toContain(
    'give the user rights',
  )
})
