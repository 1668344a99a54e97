import { chmod, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { examineSource } from '../../../src/relay/doctor/doctor.ts'
import { readConfig } from '../../../src/relay/index.ts'
import { lookAtRedis } from '../../support/doctor.ts'
import { useRedisServer } from '../../support/redis.ts'
import { useProxy } from '../../support/proxy.ts'
import { useFolder } from '../../support/relay.ts'
import { useReservedPort } from '../../support/reserved-port.ts'
import { makeCertificates, tlsOpenArgs } from '../../support/tls.ts'

test('an unreachable Redis or a denied user yields a single finding without the password', async () => {
  const { url, port, stop } = await useRedisServer({ args: ['--requirepass', 'hunter2'] })
  expect(await lookAtRedis(url)).toEqual({
    answer: expect.objectContaining({
      code: 'doctor.redis.access_denied',
      text: expect.stringContaining('NOAUTH') as string,
    }) as unknown,
  })
  const wrong = await lookAtRedis(`redis://:swordfish@127.0.0.1:${port}`)
  expect(wrong).toEqual({ answer: expect.objectContaining({ code: 'doctor.redis.access_denied' }) as unknown })
  expect(JSON.stringify(wrong)).not.toContain('swordfish')
  expect((await lookAtRedis(`redis://:hunter2@127.0.0.1:${port}`))['answer']?.state).toBe('ok')
  await stop()
  expect(await lookAtRedis(url)).toEqual({
    answer: expect.objectContaining({
      code: 'doctor.redis.unreachable',
      text: `nothing listens at 127.0.0.1:${port}`,
    }) as unknown,
  })
})

test(
  'doctor checks Redis over TLS with a private CA and secret files, and reports a world-readable secret or an untrusted CA',
  { timeout: 30_000 },
  async () => {
    const folder = await useFolder()
    const certified = await makeCertificates(folder)
    const { caFile } = certified
    const tlsPort = await useReservedPort()
    await useRedisServer({
      args: [
        ...tlsOpenArgs(certified, tlsPort),
        '--user',
        'relay',
        'on',
        '>hunter2',
        '~*',
        '&*',
        '+@all',
        '-ltrim',
        '-acl',
      ],
    })
    const [userFile, passwordFile] = [join(folder, 'user'), join(folder, 'password')]
    await writeFile(userFile, 'relay\n', { mode: 0o600 })
    await writeFile(passwordFile, 'hunter2\n', { mode: 0o600 })
    const address = `rediss://127.0.0.1:${tlsPort}?caFile=${caFile}&userFile=${userFile}&passwordFile=${passwordFile}`
    const found = await lookAtRedis(address, { ENIGMA_LISTS: 'enigma:notifications:campaigns' })
    expect(found).toMatchObject({
      answer: { state: 'ok' },
      heartbeat: { state: 'ok' },
      secrets: { state: 'ok' },
      rights: { code: 'doctor.rights.missing' },
    })
    expect(found['rights']?.fix).toBe(
      `redis-cli -h 127.0.0.1 -p ${tlsPort} --tls --cacert ${caFile} ACL SETUSER $(cat ${userFile}) +ltrim`,
    )
    await chmod(passwordFile, 0o644)
    expect((await lookAtRedis(address))['secrets']).toMatchObject({
      code: 'doctor.secrets.readable',
      fix: `chmod 600 ${passwordFile}`,
    })
    await chmod(userFile, 0o644)
    const user = await lookAtRedis(`rediss://:hunter2@127.0.0.1:${tlsPort}?caFile=${caFile}&userFile=${userFile}`)
    expect(user['secrets']).toMatchObject({ code: 'doctor.secrets.readable', fix: `chmod 600 ${userFile}` })
    expect(await lookAtRedis(`rediss://relay:hunter2@127.0.0.1:${tlsPort}`)).toEqual({
      answer: expect.objectContaining({
        code: 'doctor.redis.tls_untrusted',
        fix: expect.stringContaining('caFile=') as string,
      }) as unknown,
    })
    const config = readConfig({ ENIGMA_SOURCES: `main=${address}`, AWS_REGION: 'none' })
    await rm(caFile)
    expect(await examineSource(config.sources[0] as (typeof config.sources)[0], config, Date.now)).toMatchObject([
      {
        check: 'redis/main/answer',
        code: 'doctor.redis.no_secret',
        text: expect.stringContaining('has no user or password') as string,
      },
    ])
  },
)

test('an empty password file fails with its path and what to do, and not as a fault of Redis', async () => {
  const { port } = await useRedisServer({ args: ['--requirepass', 'hunter2'] })
  const passwordFile = join(await useFolder(), 'password')
  const look = async () => (await lookAtRedis(`redis://127.0.0.1:${port}?passwordFile=${passwordFile}`))['answer']
  await writeFile(passwordFile, '\n', { mode: 0o600 })
  expect(await look()).toMatchObject({
    state: 'fail',
    code: 'doctor.redis.no_secret',
    text: expect.stringContaining(passwordFile) as string,
    fix: expect.stringMatching(/the file, and let the user that runs the relay read it/) as string,
  })
  await writeFile(passwordFile, 'hunter2\n')
  expect(await look()).toMatchObject({ state: 'ok' })
})

test.each([
  ['accepts and never answers', { holdAnswers: true }],
  ['stops answering at PING', { failAt: { words: 'PING', how: 'vanish' } }],
] as const)(
  'a Redis that %s yields a single finding after some seconds',
  { timeout: 30_000 },
  async (_words, fault) => {
    const { port } = await useRedisServer()
    const proxy = await useProxy(port)
    Object.assign(proxy.state, fault)
    const found = await lookAtRedis(`redis://127.0.0.1:${proxy.port}`)
    expect(found).toEqual({
      answer: expect.objectContaining({
        code: 'doctor.redis.unreachable',
        fix: expect.stringContaining('PING') as string,
      }) as unknown,
    })
  },
)
