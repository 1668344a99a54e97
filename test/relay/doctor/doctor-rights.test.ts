import { expect, test } from 'vitest'
import { everythingIn, lookAtRedis } from '../../support/doctor.ts'
import { receiveAll, useRelay } from '../../support/relay.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { useSqs } from '../../support/sqs.ts'

const LIST = 'enigma:notifications:campaigns'
const LISTS = { ENIGMA_LISTS: LIST }

/** Every command that a relay needs. A relay must work with these alone. */
const COMMANDS = [
  'ping',
  'eval',
  'evalsha',
  'llen',
  'lrange',
  'lindex',
  'ltrim',
  'brpoplpush',
  'rpush',
  'get',
  'set',
  'psetex',
  'exists',
  'del',
  'rename',
  'hget',
  'hset',
  'hdel',
  'hkeys',
  'hgetall',
  'hexists',
  'smembers',
  'sadd',
  'zadd',
  'zrem',
  'zrange',
  'zcount',
  'zscore',
  'publish',
  'subscribe',
  'psubscribe',
]
// Redis allows PSUBSCRIBE only for a pattern that equals a rule, but SUBSCRIBE for every channel that a rule matches.
const CHANNELS = ['&enigma:notifications*', '&enigma:relay:*']
const rules = (commands: readonly string[], ...more: string[]) => [
  '~enigma:*',
  ...CHANNELS,
  ...commands.map((command) => `+${command}`),
  ...more,
]

/** Starts a server with a user `relay` and two items that doctor must not change. */
async function useUser(first: readonly string[]) {
  const { url, port } = await useRedisServer({ args: ['--appendonly', 'yes'] })
  const redis = await useRedisClient(url)
  await redis.rPush(LIST, ['{"type":"cdr","payload":{"dialed_at":2}}', '{"type":"cdr","payload":{"dialed_at":1}}'])
  const set = (given: readonly string[]) =>
    redis.sendCommand(['ACL', 'SETUSER', 'relay', 'reset', 'on', '>hunter2', ...given])
  await set(first)
  const userUrl = `redis://relay:hunter2@127.0.0.1:${port}`
  return { url, redis, set, userUrl, look: (env: Record<string, string> = LISTS) => lookAtRedis(userUrl, env) }
}

test('a user with exactly the rights that the relay needs passes, with and without transactions; doctor leaves nothing behind', async () => {
  const { url, look, set } = await useUser(rules(COMMANDS))
  const before = await everythingIn(url)
  const found = await look()
  expect(found['rights']).toMatchObject({ state: 'ok' })
  expect(found['heartbeat']).toMatchObject({ state: 'ok' })
  expect(found['rights/optional']).toMatchObject({
    code: 'doctor.rights.optional_missing',
    fix: expect.stringContaining('+client|list') as string,
  })
  for (const check of ['version', 'memory', 'consumers', 'output-buffer'])
    expect(found[check]).toMatchObject({
      code: 'doctor.check.not_possible',
      text: expect.stringContaining('NOPERM') as string,
      fix: expect.stringContaining('allow this command') as string,
    })
  // Without a transaction, doctor tries two writes on its own key and undoes each in the same script.
  const after = await everythingIn(url)
  expect(after.values).toEqual(before.values)
  await set(rules([...COMMANDS, 'multi', 'discard']))
  expect((await look())['rights']).toMatchObject({ state: 'ok' })
  expect(await everythingIn(url)).toEqual(after)
})

test('each missing right is reported, and the fix grants it', async () => {
  const { look, set, redis } = await useUser(rules(COMMANDS))
  const unseen: string[] = []
  for (const command of COMMANDS) {
    const left = COMMANDS.filter((one) => one !== command)
    await set(rules(left, ...(command === 'rpush' ? ['+multi', '+discard'] : [])))
    const found = await look()
    const finding = found[command.endsWith('subscribe') ? 'heartbeat' : 'rights']
    if (finding?.state !== 'fail' || !finding.fix?.includes(`+${command}`))
      unseen.push(`${command}: ${JSON.stringify(finding)}`)
  }
  expect(unseen).toEqual([])
  // Redis accepts the fix, and then the check passes.
  await set(rules(COMMANDS.filter((one) => !['ltrim', 'hget'].includes(one))))
  const { fix } = (await look())['rights'] ?? {}
  await redis.sendCommand((fix ?? '').split(' ').slice(5))
  expect((await look())['rights']).toMatchObject({ state: 'ok' })
})

test('keys and channels that a user may not use are reported and named in the fix', async () => {
  const commands = COMMANDS.map((command) => `+${command}`)
  const { look, set } = await useUser(['~enigma:notifications:*', ...CHANNELS, ...commands])
  expect((await look())['rights']).toMatchObject({
    code: 'doctor.rights.missing',
    fix: expect.stringContaining('~enigma:relay:*') as string,
  })
  await set(['~enigma:relay:*', ...CHANNELS, ...commands])
  expect((await look())['rights']).toMatchObject({
    code: 'doctor.rights.missing',
    fix: expect.stringContaining(`~${LIST}`) as string,
  })
  await set(['~enigma:*', '&enigma:relay:*', ...commands])
  expect((await look())['heartbeat']).toMatchObject({
    code: 'doctor.heartbeat.may_not_listen',
    fix: expect.stringContaining('&enigma:notifications*') as string,
  })
  expect((await look({ ENIGMA_CHANNELS: 'none' }))['heartbeat']).toMatchObject({
    state: 'ok',
    text: expect.stringContaining('does not subscribe') as string,
  })
  await set(['~enigma:*', ...CHANNELS, ...commands, '-publish'])
  expect((await look())['heartbeat']).toMatchObject({
    code: 'doctor.heartbeat.may_not_publish',
    fix: expect.stringMatching(/ACL SETUSER relay \+publish &enigma:relay:\*$/) as string,
  })
})

test('a relay with exactly the rights that doctor requires takes a list, receives Pub/Sub and adopts claims of another relay', async () => {
  const { redis, userUrl } = await useUser(rules(COMMANDS))
  await redis.zAdd('enigma:relay:relays', { score: 1, value: 'gone' })
  await redis.hSet('enigma:relay:claims:gone', '5', `1:1:${LIST}`)
  await redis.rPush('enigma:relay:claim:gone:5', '{"type":"cdr","payload":{"dialed_at":3}}')
  const sqs = await useSqs()
  await useRelay({ redisUrl: userUrl, endpoint: sqs.endpoint, lists: [LIST] })
  await redis.publish('enigma:notifications:agents:1', '{"type":"stats","payload":{"ref":"1"}}')
  expect(await receiveAll(sqs, 'campaigns-cdr', 3)).toHaveLength(3)
  expect(await receiveAll(sqs, 'agents-stats', 1)).toHaveLength(1)
})

test('each check that needs a command that was renamed away reports it, and the other checks still run', async () => {
  const gone = ['CONFIG', 'CLIENT', 'INFO', 'ACL', 'SCAN', 'MULTI', 'PUBSUB', 'HELLO', 'TYPE']
  const { url } = await useRedisServer({ args: gone.flatMap((command) => ['--rename-command', command, '']) })
  const redis = await useRedisClient(url)
  await redis.rPush(LIST, 'x')
  const found = await lookAtRedis(url, LISTS)
  for (const check of ['version', 'role', 'memory', 'persistence', 'output-buffer', 'channels', 'consumers', 'lists']) {
    expect(found[check], check).toMatchObject({
      code: 'doctor.check.not_possible',
      text: expect.stringContaining('unknown command') as string,
      fix: expect.stringContaining('remove the rename-command line') as string,
    })
  }
  for (const check of ['answer', 'rights', 'heartbeat', 'relay-id', 'claims', 'parked'])
    expect(found[check], check).toMatchObject({ state: 'ok' })
  expect(found['rights/optional']).toMatchObject({
    code: 'doctor.rights.optional_missing',
    text: expect.stringContaining('TYPE, INFO, CLIENT ID') as string,
  })
  expect(await redis.keys('*')).toEqual([LIST])
})

test('a required command that was renamed away is reported by name, and no finding shows the password', async () => {
  const { port } = await useRedisServer({
    args: [
      '--rename-command',
      'BRPOPLPUSH',
      '',
      '--rename-command',
      'AUTH',
      '',
      '--user',
      'relay',
      'on',
      '>hunter2',
      '~*',
      '&*',
      '+@all',
    ],
  })
  const found = await lookAtRedis(`redis://127.0.0.1:${port}`, LISTS)
  expect(found['rights']).toMatchObject({
    code: 'doctor.rights.missing',
    text: expect.stringContaining('BRPOPLPUSH') as string,
    fix: expect.stringMatching(/rename-command.*\bBRPOPLPUSH\b/) as string,
  })
  const refused = await lookAtRedis(`redis://relay:hunter2@127.0.0.1:${port}`, LISTS)
  expect(refused['answer']).toMatchObject({ state: 'fail' })
  expect(JSON.stringify(refused)).not.toContain('hunter2')
})

test('the states that the dialler keeps are counted; where they may not be read, the fix grants it', async () => {
  const { look, set, redis } = await useUser(rules(COMMANDS))
  expect((await look())['states']).toMatchObject({
    state: 'ok',
    text: expect.stringContaining('keeps no states in enigma:campaigns') as string,
  })
  await redis.hSet('enigma:campaigns', { 12: 'started', 13: 'stopped' })
  await redis.hSet('enigma:campaign:12:agents', { 1001: 'busy', 1002: 'available' })
  const found = { state: 'ok', text: '2 campaigns in enigma:campaigns with 2 agent states' }
  // First with HGETALL, then with HSCAN.
  expect((await look())['states']).toMatchObject(found)
  await set(rules(COMMANDS, '+hscan'))
  expect((await look())['states']).toMatchObject(found)
  await set(
    rules(COMMANDS)
      .map((rule) => (rule === '~enigma:*' ? '~enigma:notifications* ~enigma:relay:*' : rule))
      .flatMap((rule) => rule.split(' ')),
  )
  const denied = (await look())['states']
  expect(denied).toMatchObject({ state: 'warn', code: 'doctor.states.unreadable' })
  const [, granted = ''] = /ACL SETUSER relay (.*), or ENIGMA_RESYNC=none$/.exec(denied?.fix ?? '') ?? []
  await redis.sendCommand(['ACL', 'SETUSER', 'relay', ...granted.split(' ')])
  expect((await look())['states']).toMatchObject(found)
  await redis.del('enigma:campaigns')
  await redis.set('enigma:campaigns', 'x')
  expect((await look())['states']).toMatchObject({ state: 'warn', code: 'doctor.states.unreadable' })
  expect((await look({ ...LISTS, ENIGMA_RESYNC: 'none' }))['states']).toMatchObject({ state: 'ok' })
})
