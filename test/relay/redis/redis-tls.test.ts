import { readFileSync } from 'node:fs'
import { chmod, copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, createServer as createTlsServer } from 'node:tls'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { freePort, startRedisServer, type RedisServer } from '../../../src/local/servers.ts'
import { judgeRedis } from '../../../src/relay/redis/advice.ts'
import { askWhy, createRedis } from '../../../src/relay/redis/redis-client.ts'
import { readConfig } from '../../../src/relay/index.ts'
import { ConfigError } from '../../../src/runtime/index.ts'
import { runCli } from '../../cli/run.ts'
import { lookAtRedis } from '../../support/doctor.ts'
import { captureLog } from '../../support/log.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { receiveAll, useRelay, waitFor } from '../../support/relay.ts'
import { useReservedPort } from '../../support/reserved-port.ts'
import { useSqs } from '../../support/sqs.ts'
import { makeCertificates, signCertificate, tlsArgs, tlsOpenArgs, type Certified } from '../../support/tls.ts'

type Pair = Omit<Certified, 'caFile'>

let folder: string
let ca: Certified
let other: Certified
let client: Pair
let locked: Pair
const passphraseFile = () => join(folder, 'passphrase')
const servers: RedisServer[] = []
/** Ports of servers that want a client certificate: by TLS 1.2 and by 1.3. */
const ports = new Map<string, number>()

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'enigma-tls-'))
  ;[ca, other] = await Promise.all([makeCertificates(folder, 'one'), makeCertificates(folder, 'two')])
  await writeFile(passphraseFile(), 'hunter2\n', { mode: 0o600 })
  client = await signCertificate(folder, 'one', 'client')
  locked = await signCertificate(folder, 'one', 'locked', { passphrase: 'hunter2' })
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    const port = await freePort(0)
    servers.push(
      await startRedisServer({ args: [...tlsArgs(ca, port), '--tls-protocols', version, '--appendonly', 'yes'] }),
    )
    ports.set(version, port)
  }
})
afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()))
  await rm(folder, { recursive: true, force: true })
})

const addressOf = (
  port: number | undefined,
  parameters: Record<string, string>,
  scheme = 'rediss',
  host = '127.0.0.1',
) => `${scheme}://${host}:${port}?${new URLSearchParams(parameters).toString()}`
const mutual = (pair: Pair, more: Record<string, string> = {}) => ({ caFile: ca.caFile, ...pair, ...more })

/** Returns the codes that doctor reports for the connection and that the client of the relay logs. */
async function codesOf(address: string): Promise<(string | undefined)[]> {
  const [source] = readConfig({ ENIGMA_SOURCES: `main=${address}`, AWS_REGION: 'none' }).sources
  if (source === undefined) throw new Error('no source')
  const capture = captureLog()
  const redis = createRedis({ ...source, name: 'main', log: capture.log, reconnect: true })
  onTestFinished(() => redis.destroy())
  redis.connect().catch(() => undefined)
  const lines = () => capture.lines.map((line) => (JSON.parse(line) as { code: string }).code)
  const isKnown = () => lines().some((code) => !/unreachable|not_understood/.test(code))
  const [found] = await Promise.all([lookAtRedis(address), waitFor(isKnown, `what is wrong with ${address}`)])
  return [found['answer']?.code, lines().at(-1)]
}
const both = (event: string) => [`doctor.redis.${event}`, `relay.redis.${event}`]

test.each(['TLSv1.2', 'TLSv1.3'])(
  'a server accepts the client certificate of the relay over %s, with or without an encrypted key',
  async (version) => {
    const port = ports.get(version)
    for (const parameters of [mutual(client), mutual(locked, { keyPassphraseFile: passphraseFile() })]) {
      const found = await lookAtRedis(addressOf(port, parameters))
      expect(found).toMatchObject({ answer: { state: 'ok' }, rights: { state: 'ok' }, heartbeat: { state: 'ok' } })
    }
  },
)

test.each(['TLSv1.2', 'TLSv1.3'])(
  'log and doctor report a missing and a rejected client certificate over %s',
  async (version) => {
    const port = ports.get(version)
    expect(await codesOf(addressOf(port, { caFile: ca.caFile }))).toEqual(both('tls_client_certificate'))
    const { certFile, keyFile } = other
    expect(await codesOf(addressOf(port, mutual({ certFile, keyFile })))).toEqual(both('tls_client_rejected'))
    const expired = await signCertificate(folder, 'one', `expired-${version}`, { days: -1 })
    expect(await codesOf(addressOf(port, mutual(expired)))).toEqual(both('tls_client_rejected'))
    const fix = (await lookAtRedis(addressOf(port, { caFile: ca.caFile })))['answer']?.fix
    expect(fix).toContain('certFile=')
  },
)

test('log and doctor report a server certificate that is untrusted, expired or for another host name', async () => {
  const port = ports.get('TLSv1.3')
  expect(await codesOf(addressOf(port, { ...mutual(client), caFile: other.caFile }))).toEqual(both('tls_untrusted'))
  expect(await codesOf(addressOf(port, mutual(client), 'rediss', 'localhost'))).toEqual(both('tls_host_name'))
  expect(
    (await lookAtRedis(addressOf(port, { ...mutual(client), servername: 'dialler.test' }, 'rediss', 'localhost')))[
      'answer'
    ],
  ).toMatchObject({ state: 'ok' })
  const expiredPort = await useReservedPort()
  const expired = await signCertificate(folder, 'one', 'old', { days: -1 })
  await useRedisServer({ args: tlsOpenArgs({ ...ca, ...expired }, expiredPort) })
  expect(await codesOf(addressOf(expiredPort, { caFile: ca.caFile }))).toEqual(both('tls_expired'))
})

test('the wrong scheme is reported for a TLS port and for a plain port', async () => {
  const plain = await useRedisServer({ args: ['--requirepass', 'x'] })
  const found = await Promise.all([
    ...[...ports.values()].map((port) => codesOf(addressOf(port, {}, 'redis'))),
    // Relay and doctor call this once the handshake has hung for five seconds.
    askWhy({ url: `rediss://127.0.0.1:${plain.port}`, caFile: ca.caFile }),
  ])
  expect(found).toEqual([
    both('tls_port'),
    both('tls_port'),
    expect.objectContaining({ code: 'relay.redis.plain_port' }),
  ])
})

test('a server that supports no common TLS version is reported', async () => {
  const server = createTlsServer({
    cert: readFileSync(ca.certFile),
    key: readFileSync(ca.keyFile),
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.1',
    ciphers: 'DEFAULT:@SECLEVEL=0',
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  expect(await codesOf(addressOf((server.address() as AddressInfo).port, { caFile: ca.caFile }))).toEqual(
    both('tls_version'),
  )
})

test('certificate and key can be replaced while the relay runs, and doctor and the parked command use the new ones', async () => {
  const [sqs, port] = [await useSqs(), ports.get('TLSv1.3')]
  const [certFile, keyFile] = [join(folder, 'live.pem'), join(folder, 'live.key')]
  const put = async (pair: Pair) => {
    await copyFile(pair.certFile, certFile)
    await copyFile(pair.keyFile, keyFile)
  }
  await put(client)
  const address = addressOf(port, mutual({ certFile, keyFile }))
  const relay = await useRelay({ redisUrl: address, endpoint: sqs.endpoint, lists: ['enigma:notifications:campaigns'] })
  const admin = await useRedisClient((servers[1] as RedisServer).url)
  // First a certificate that the server rejects, then another valid one, whose key has no passphrase.
  await put(other)
  await admin.sendCommand(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'])
  await waitFor(() => relay.coded('relay.redis.tls_client_rejected').length > 0, 'it to be rejected')
  expect((await lookAtRedis(address))['answer']?.code).toBe('doctor.redis.tls_client_rejected')
  await put(await signCertificate(folder, 'one', 'next'))
  await waitFor(() => relay.coded('relay.redis.recovered').length > 0, 'it to be let in again')
  await admin.lPush('enigma:notifications:campaigns', '{"type":"cdr","payload":{"call_ref":"1"}}')
  expect(await receiveAll(sqs, 'campaigns-cdr', 1)).toHaveLength(1)
  expect((await lookAtRedis(address))['answer']).toMatchObject({ state: 'ok' })
  const parked = await runCli(['parked'], { ENIGMA_SOURCES: `main=${address}`, AWS_REGION: 'none' })
  expect(parked).toMatchObject({ code: 0 })
  const without = addressOf(port, { caFile: ca.caFile })
  const refused = await runCli(['parked'], { ENIGMA_SOURCES: `main=${without}`, AWS_REGION: 'none' })
  expect(refused.stderr).toContain('(relay.parked.redis_failed)')
  expect(refused.stderr).toContain('certFile=')
  await admin.flushAll()
})

test('invalid TLS settings are rejected at the start, with the fix and without the passphrase', async () => {
  const faultOf = (parameters: Record<string, string>, scheme = 'rediss') => {
    try {
      readConfig({ ENIGMA_SOURCES: `main=${addressOf(1, parameters, scheme)}`, AWS_REGION: 'none' })
    } catch (error) {
      if (error instanceof ConfigError) return error.faults[0]
    }
    return undefined
  }
  const about = (file: string) => ({ problem: expect.stringContaining(file) as string })
  const wrongFile = join(folder, 'wrong')
  await writeFile(wrongFile, 'swordfish')
  const { certFile, keyFile } = client
  const bothFiles = { fix: expect.stringContaining('certFile=…&keyFile=…') as string }
  expect(faultOf({ certFile })).toMatchObject(bothFiles)
  expect(faultOf({ keyFile })).toMatchObject(bothFiles)
  expect(faultOf({ keyPassphraseFile: wrongFile })).toMatchObject(bothFiles)
  expect(faultOf({ certFile, keyFile: `${keyFile}.not` })).toMatchObject(about(`${keyFile}.not`))
  expect(faultOf({ certFile, keyFile: certFile })?.fix).toContain('BEGIN PRIVATE KEY')
  expect(faultOf({ certFile: keyFile, keyFile })?.fix).toContain('BEGIN CERTIFICATE')
  expect(faultOf({ certFile, keyFile: other.keyFile })).toMatchObject(about(`${other.keyFile}, ${certFile}`))
  expect(faultOf({ ...locked })?.fix).toContain('keyPassphraseFile=')
  const wrongPassphrase = faultOf({ ...locked, keyPassphraseFile: wrongFile })
  expect(wrongPassphrase).toMatchObject(about(wrongFile))
  expect(JSON.stringify(wrongPassphrase)).not.toContain('swordfish')
  expect(faultOf({ certFile, keyFile }, 'redis')?.fix).toContain('main=rediss://')
  expect(faultOf({ certFile, keyFile })).toBeUndefined()
})

test('a wrong passphrase is recognized from either error that OpenSSL reports', () => {
  const pem = readFileSync(locked.keyFile)
  const judged = new Map<unknown, string>()
  for (let n = 0; n < 5_000 && judged.size < 2; n++) {
    try {
      createSecureContext({ key: [{ pem, passphrase: `wrong-${n}` }] })
    } catch (error) {
      judged.set((error as NodeJS.ErrnoException).code, judgeRedis(error).code)
    }
  }
  expect(Object.fromEntries(judged)).toEqual({
    ERR_OSSL_BAD_DECRYPT: 'relay.redis.key_passphrase',
    ERR_OSSL_UNSUPPORTED: 'relay.redis.key_passphrase',
  })
})

test('a passphrase that becomes wrong later is reported, and so are a key and a passphrase file that others can read', async () => {
  const [keyFile, passphrase] = [join(folder, 'later.key'), join(folder, 'later')]
  await copyFile(locked.keyFile, keyFile)
  await chmod(keyFile, 0o644)
  await writeFile(passphrase, 'hunter2', { mode: 0o644 })
  const address = addressOf(ports.get('TLSv1.3'), mutual({ ...locked, keyFile }, { keyPassphraseFile: passphrase }))
  expect((await lookAtRedis(address))['secrets']).toMatchObject({
    code: 'doctor.secrets.readable',
    fix: `chmod 600 ${keyFile} ${passphrase}`,
  })
  const [source] = readConfig({ ENIGMA_SOURCES: `main=${address}`, AWS_REGION: 'none' }).sources
  await writeFile(passphrase, 'swordfish')
  const { log, coded, lines } = captureLog()
  const redis = createRedis({ ...(source as NonNullable<typeof source>), name: 'main', log, reconnect: true })
  onTestFinished(() => redis.destroy())
  redis.connect().catch(() => undefined)
  await waitFor(() => coded('relay.redis.key_passphrase').length > 0, 'it to be said')
  expect(lines.join('\n')).not.toContain('swordfish')
  await writeFile(passphrase, 'hunter2')
  await waitFor(() => coded('relay.redis.recovered').length > 0, 'it to be let in')
})
