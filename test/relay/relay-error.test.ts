import { expect, test } from 'vitest'
import { describe } from '../../src/relay/relay-error.ts'
import { judgeRedis, reasonOf, sentenceOf } from '../../src/relay/redis/advice.ts'

const withCode = (message: string, code: string) => Object.assign(new Error(message), { code })

test('the error of a failed script is shown without the digest of the script', () => {
  const words = 'WRONGTYPE Operation against a key holding the wrong kind of value'
  expect(describe(new Error(`${words} script: 123456d1de5476ed9f1f5b2ebd12345678901234, on @user_script:21.`))).toBe(
    words,
  )
})

test.each([
  [new Error('WRONGPASS invalid username-password pair or user is disabled.'), 'access_denied', 'ENIGMA_SOURCES'],
  [
    withCode("Hostname/IP does not match certificate's altnames", 'ERR_TLS_CERT_ALTNAME_INVALID'),
    'tls_host_name',
    'servername=',
  ],
  [withCode('self-signed certificate in certificate chain', 'SELF_SIGNED_CERT_IN_CHAIN'), 'tls_untrusted', 'caFile='],
  [withCode('unable to verify the first certificate', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'), 'tls_untrusted', 'caFile='],
  [withCode('connect ECONNREFUSED 127.0.0.1:1', 'ECONNREFUSED'), 'unreachable', 'ENIGMA_SOURCES'],
])('a connection that fails with %s is recognized as %s, and the fix names the setting', (error, event, setting) => {
  const fault = judgeRedis(error)
  expect(fault.code).toBe(`relay.redis.${event}`)
  expect(fault.fix).toContain(setting)
})

// The errors of Redis 6.0, 6.2, 7.0, 7.2 and Valkey 8, for a direct command and inside a script.
test.each([
  "NOPERM this user has no permissions to run the 'ltrim' command or its subcommand",
  "NOPERM this user has no permissions to run the 'ltrim' command",
  "NOPERM User relay has no permissions to run the 'ltrim' command",
  "NOPERM The user executing the script can't run this command or subcommand",
  "ERR The user executing the script can't run this command or subcommand script: 123456d1de5476ed9f1f5b2ebd12345678901234, on @user_script:21.",
  "ERR ACL failure in script: User relay has no permissions to run the 'ltrim' command",
  'NOPERM No permissions to access a key',
  "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments",
])('a missing right is recognized: %s', (words) => {
  const fault = judgeRedis(new Error(words))
  expect(fault.code).toBe('relay.redis.no_permission')
  if (words.includes("'ltrim'")) expect(sentenceOf(fault)).toContain('+ltrim')
})

test.each([
  "ERR unknown command 'LTRIM', with args beginning with: 'secret'",
  'ERR Unknown Redis command called from script',
])('a command that was renamed away is recognized: %s', (words) => {
  const fault = judgeRedis(new Error(words))
  expect(fault.code).toBe('relay.redis.unknown_command')
  expect(reasonOf(fault)).not.toContain('secret')
})
