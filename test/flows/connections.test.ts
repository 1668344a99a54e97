import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createClient } from 'redis'
import { expect, onTestFinished, test } from 'vitest'
import { arrivedAt, expectAll } from '../support/arrived.ts'
import { agentChannel, CAMPAIGNS, cdrOf, statusOf } from '../support/load.ts'
import { readMetric } from '../support/metrics.ts'
import { useRedisServer } from '../support/redis.ts'
import { useFolder, useRelay, waitFor } from '../support/relay.ts'
import { startRelayProcess } from '../support/relay-process.ts'
import { useReservedPort } from '../support/reserved-port.ts'
import { useSqsFaults } from '../support/sqs-faults.ts'
import { makeCertificates, tlsOpenArgs } from '../support/tls.ts'

/** The rights that docs/relay.md lists for the relay's Redis user. */
const RELAY_RIGHTS = [
  '~enigma:notifications*',
  '~enigma:relay:*',
  '~enigma:campaigns',
  '~enigma:campaign:*',
  '&enigma:notifications*',
  '&enigma:relay:*',
  '+ping',
  '+eval',
  '+evalsha',
  '+publish',
  '+subscribe',
  '+psubscribe',
  '+unsubscribe',
  '+punsubscribe',
  '+llen',
  '+lrange',
  '+lindex',
  '+ltrim',
  '+rpush',
  '+brpoplpush',
  '+blmove',
  '+get',
  '+set',
  '+psetex',
  '+exists',
  '+del',
  '+rename',
  '+type',
  '+hget',
  '+hset',
  '+hdel',
  '+hkeys',
  '+hgetall',
  '+hscan',
  '+hexists',
  '+sadd',
  '+smembers',
  '+zadd',
  '+zrem',
  '+zrange',
  '+zcount',
  '+zscore',
  '+info',
  '+client|id',
  '+client|list',
  '+config|get',
] as const

const PASSWORD = 'p@ss:w/rd?&=hidden'

type Client = ReturnType<typeof createClient>

/** A dialler's own client. */
async function connect(options: Parameters<typeof createClient>[0]): Promise<Client> {
  const client = createClient({ RESP: 2, ...options })
  client.on('error', () => undefined)
  await client.connect()
  onTestFinished(() => client.destroy())
  return client
}

/** Pushes and publishes the numbers, and waits until all of them have arrived. */
async function expectThrough(client: Client, sqs: Awaited<ReturnType<typeof useSqsFaults>>, from: number, to: number) {
  for (let n = from; n < to; n++)
    await Promise.all([client.lPush(CAMPAIGNS, cdrOf(n)), client.publish(agentChannel(n), statusOf(n))])
  const all = async () =>
    Promise.all(['campaigns-cdr', 'agents-status'].map(async (route) => (await arrivedAt(sqs, route)).length))
  await waitFor(async () => (await all()).every((count) => count >= to), 'all to arrive')
  for (const route of ['campaigns-cdr', 'agents-status']) expectAll(await arrivedAt(sqs, route), to)
}

test(
  'the relay works over TLS with a private CA, with minimal Redis rights, and with user name and password from files',
  { timeout: 60_000 },
  async () => {
    const folder = await useFolder()
    const [certified, tlsPort, sqs] = [await makeCertificates(folder), await useReservedPort(), await useSqsFaults()]
    const redis = await useRedisServer({
      args: tlsOpenArgs(certified, tlsPort),
    })
    const admin = await connect({ url: redis.url })
    await admin.sendCommand(['ACL', 'SETUSER', 'relay', 'on', `>${PASSWORD}`, ...RELAY_RIGHTS])
    const [userFile, passwordFile] = [join(folder, 'user'), join(folder, 'password')]
    await writeFile(userFile, 'relay\n', { mode: 0o600 })
    await writeFile(passwordFile, `${PASSWORD}\n`)
    await chmod(passwordFile, 0o644)
    const address = `rediss://127.0.0.1:${tlsPort}?caFile=${certified.caFile}&userFile=${userFile}&passwordFile=${passwordFile}`
    const relay = await useRelay({ redisUrl: address, endpoint: sqs.endpoint, lists: [CAMPAIGNS] })
    await expectThrough(admin, sqs, 0, 200)
    // The connections die, and the password has changed in the meantime.
    await admin.sendCommand(['ACL', 'SETUSER', 'relay', 'resetpass', '>another'])
    await writeFile(passwordFile, 'another')
    await admin.sendCommand(['CLIENT', 'KILL', 'USER', 'relay'])
    await waitFor(() => relay.coded('relay.pubsub.gap').length > 0, 'it to hear again')
    await expectThrough(admin, sqs, 200, 400)
    // Parking and adoption work under these rights as well.
    sqs.state.answer = ({ queue }) =>
      queue.includes('cdr') ? { fail: () => ({ Code: 'InvalidMessageContents', SenderFault: true }) } : 'accept'
    await admin.lPush(CAMPAIGNS, cdrOf(400))
    await waitFor(async () => (await admin.lLen('enigma:relay:parked')) === 1, 'one to be parked')
    await waitFor(
      async () => (await readMetric(relay.address, 'output_buffer_limit_bytes')) > 0,
      'the limit to be known',
    )
    const text = relay.lines.join('\n')
    expect(text).not.toContain('NOPERM')
    expect(text).not.toContain('hidden')
    expect(text).not.toContain('another"')
    expect(relay.coded('relay.source.secret_readable')).toHaveLength(1)
    expect(
      ((await admin.sendCommand(['ACL', 'LOG'])) as unknown as unknown[])
        .flat()
        .filter((entry) => entry === 'channel' || entry === 'key'),
    ).toEqual([])
  },
)

test(
  'the relay sends no command to a server with a certificate of an unknown CA, and logs why once without the password',
  { timeout: 60_000 },
  async () => {
    const folder = await useFolder()
    const [certified, other, tlsPort, sqs] = [
      await makeCertificates(folder),
      await makeCertificates(folder, 'other'),
      await useReservedPort(),
      await useSqsFaults(),
    ]
    const redis = await useRedisServer({ args: tlsOpenArgs(certified, tlsPort) })
    const admin = await connect({ url: redis.url })
    await admin.configResetStat()
    const relay = startRelayProcess({
      redisUrl: `rediss://:${encodeURIComponent(PASSWORD)}@127.0.0.1:${tlsPort}?caFile=${other.caFile}`,
      endpoint: sqs.endpoint,
      lists: [CAMPAIGNS],
      dataDir: await useFolder(),
    })
    const said = () => relay.coded('relay.redis.tls_untrusted')
    await waitFor(() => said().length > 0, 'it to be said')
    expect(String(said()[0]?.['error'])).toMatch(/certificate|signature/)
    expect((await relay.readiness()).parts['redis:main']).toMatchObject({ ok: false })
    expect(said()).toHaveLength(1)
    expect(JSON.stringify(relay.lines)).not.toContain('hidden')
    expect((await admin.info('commandstats')).match(/(?<=cmdstat_)[^:]+/g)).toEqual(['config|resetstat'])
    expect(await relay.kill('SIGTERM')).toMatchObject({ code: 0, errors: '' })
  },
)

test(
  'the relay works with an old dialler’s Redis: without HELLO, BLMOVE and CLIENT, and with a password but no user name',
  { timeout: 60_000 },
  async () => {
    const renamed = ['HELLO', 'BLMOVE', 'LMOVE', 'CLIENT', 'CONFIG', 'ACL'].flatMap((command) => [
      '--rename-command',
      command,
      '',
    ])
    const [redis, sqs] = [await useRedisServer({ args: ['--requirepass', PASSWORD, ...renamed] }), await useSqsFaults()]
    const url = redis.url.replace('redis://', `redis://:${encodeURIComponent(PASSWORD)}@`)
    const client = await connect({ url, disableClientInfo: true })
    const relay = await useRelay({ redisUrl: url, endpoint: sqs.endpoint, lists: [CAMPAIGNS] })
    await expectThrough(client, sqs, 0, 300)
    const errors = relay.lines.map((line) => JSON.parse(line) as { level: number }).filter(({ level }) => level >= 50)
    expect(errors).toEqual([])
    expect(relay.lines.join('\n')).not.toContain('hidden')
  },
)

test(
  'the relay logs WRONGPASS without the password, and connects once the password file is correct',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs, folder] = [
      await useRedisServer({ args: ['--requirepass', PASSWORD] }),
      await useSqsFaults(),
      await useFolder(),
    ]
    const passwordFile = join(folder, 'password')
    await writeFile(passwordFile, 'the wrong hidden one', { mode: 0o600 })
    const client = await connect({ url: redis.url.replace('redis://', `redis://:${encodeURIComponent(PASSWORD)}@`) })
    await client.lPush(CAMPAIGNS, cdrOf(0))
    const relay = startRelayProcess({
      redisUrl: `${redis.url}?passwordFile=${passwordFile}`,
      endpoint: sqs.endpoint,
      lists: [CAMPAIGNS],
      dataDir: await useFolder(),
    })
    await waitFor(() => relay.coded('relay.redis.access_denied').length > 0, 'it to be said')
    expect(JSON.stringify(relay.lines)).toContain('WRONGPASS')
    await writeFile(passwordFile, PASSWORD)
    await relay.ready()
    await waitFor(async () => (await arrivedAt(sqs, 'campaigns-cdr')).length === 1, 'it to arrive')
    expect(JSON.stringify(relay.lines)).not.toContain('hidden')
  },
)

test(
  'the relay logs an empty password file, and connects once the file holds the password',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs, folder] = [
      await useRedisServer({ args: ['--requirepass', PASSWORD] }),
      await useSqsFaults(),
      await useFolder(),
    ]
    const passwordFile = join(folder, 'password')
    await writeFile(passwordFile, '', { mode: 0o600 })
    const relay = startRelayProcess({
      redisUrl: `${redis.url}?passwordFile=${passwordFile}`,
      endpoint: sqs.endpoint,
      lists: [CAMPAIGNS],
      dataDir: await useFolder(),
    })
    await waitFor(() => relay.coded('relay.redis.no_secret').length > 0, 'it to be said')
    await writeFile(passwordFile, PASSWORD)
    await relay.ready()
    expect(await relay.kill('SIGTERM')).toMatchObject({ code: 0, errors: '' })
  },
)

test('the log omits the password that a server without AUTH quotes in its error', { timeout: 60_000 }, async () => {
  const [redis, sqs] = [await useRedisServer({ args: ['--rename-command', 'AUTH', ''] }), await useSqsFaults()]
  const redisUrl = redis.url.replace('redis://', `redis://relay:${encodeURIComponent(PASSWORD)}@`)
  const relay = startRelayProcess({
    redisUrl,
    endpoint: sqs.endpoint,
    lists: [CAMPAIGNS],
    dataDir: await useFolder(),
    env: { ENIGMA_LOG_LEVEL: 'trace' },
  })
  await waitFor(() => JSON.stringify(relay.lines).includes("unknown command 'AUTH'"), 'it to be said')
  expect(JSON.stringify(relay.lines)).not.toContain('hidden')
})
