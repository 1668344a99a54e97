import { writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ConfigError } from '../../src/runtime/index.ts'
import { readConfig } from '../../src/relay/index.ts'
import { useFolder } from '../support/relay.ts'

const faultsOf = (env: Record<string, string>) => {
  try {
    readConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
  return []
}

test('with nothing but a region it has the defaults that the design names', () => {
  expect(readConfig({ AWS_REGION: 'eu-west-1' })).toEqual({
    sources: [{ id: 'main', url: 'redis://127.0.0.1:8001' }],
    lists: [],
    listEnd: 'right',
    channels: ['enigma:notifications*'],
    queuePrefix: 'enigma-',
    dataDir: '.enigma/relay',
    relayId: hostname(),
    parkedMax: 10_000,
    http: { host: '127.0.0.1', port: 8081 },
    logLevel: 'info',
    region: 'eu-west-1',
    endpoint: undefined,
    proxies: { https: undefined, http: undefined, except: '' },
  })
})

test('lists of values are split at commas, without space, empty parts and repetitions', () => {
  const { lists, channels, sources } = readConfig({
    ENIGMA_LISTS: ' enigma:notifications:campaigns , enigma:notifications:cdr,,enigma:notifications:campaigns',
    ENIGMA_CHANNELS: 'enigma:notifications:agents:1002,enigma:notifications:campaigns:*',
    ENIGMA_SOURCES: 'main=redis://10.0.0.1:8001, click2dial=rediss://u:p@example.test:6379/3',
    AWS_REGION: 'eu-west-1',
  })
  expect(lists).toEqual(['enigma:notifications:campaigns', 'enigma:notifications:cdr'])
  expect(channels).toEqual(['enigma:notifications:agents:1002', 'enigma:notifications:campaigns:*'])
  expect(sources).toEqual([
    { id: 'main', url: 'redis://10.0.0.1:8001' },
    { id: 'click2dial', url: 'rediss://u:p@example.test:6379/3' },
  ])
})

test('"none" names no list and no channel', () => {
  const { lists, channels } = readConfig({ ENIGMA_LISTS: 'none', ENIGMA_CHANNELS: 'none', AWS_REGION: 'eu-west-1' })
  expect([lists, channels]).toEqual([[], []])
})

test('an address may be of IPv6 or of all interfaces', () => {
  const httpOf = (text: string) => readConfig({ ENIGMA_HTTP: text, AWS_REGION: 'eu-west-1' }).http
  expect(httpOf('[::1]:9000')).toEqual({ host: '::1', port: 9000 })
  expect(httpOf('0.0.0.0:0')).toEqual({ host: '0.0.0.0', port: 0 })
})

test('a custom endpoint needs no region', () => {
  expect(readConfig({ AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:4566' })).toMatchObject({
    region: 'us-east-1',
    endpoint: 'http://127.0.0.1:4566',
  })
})

test('all faults are in one error, each with a fix', () => {
  const faults = faultsOf({
    ENIGMA_SOURCES: 'redis://127.0.0.1:8001',
    ENIGMA_LIST_END: 'top',
    ENIGMA_QUEUE_PREFIX: 'my queues',
    ENIGMA_RELAY_ID: 'a relay',
    ENIGMA_HTTP: '8081',
    ENIGMA_LOG_LEVEL: 'loud',
    AWS_ENDPOINT_URL_SQS: 'localhost:4566',
  })
  expect(faults.map(({ name }) => name)).toEqual([
    'ENIGMA_SOURCES',
    'ENIGMA_LIST_END',
    'ENIGMA_QUEUE_PREFIX',
    'ENIGMA_RELAY_ID',
    'ENIGMA_HTTP',
    'ENIGMA_LOG_LEVEL',
    'AWS_ENDPOINT_URL_SQS',
    'AWS_REGION',
  ])
  for (const fault of faults) expect(fault.fix).toMatch(/\w/)
})

test.each([
  ['ENIGMA_SOURCES', 'main=http://127.0.0.1', 'not a redis:// or rediss:// URL'],
  ['ENIGMA_SOURCES', 'main=redis://127.0.0.1:99999', 'not a redis:// or rediss:// URL'],
  ['ENIGMA_SOURCES', 'a b=redis://127.0.0.1', 'no id'],
  ['ENIGMA_SOURCES', '=redis://127.0.0.1', 'no id'],
  ['ENIGMA_SOURCES', 'none', 'names no source'],
  ['ENIGMA_SOURCES', 'a=redis://one,a=redis://two', 'twice'],
  ['ENIGMA_HTTP', '127.0.0.1:70000', 'not host:port'],
  ['ENIGMA_QUEUE_PREFIX', 'x'.repeat(41), 'prefix'],
])('%s=%s: the problem says "%s"', (name, value, words) => {
  const faults = faultsOf({ [name]: value, AWS_REGION: 'eu-west-1' })
  expect(faults.map((fault) => fault.name)).toEqual([name])
  expect(faults[0]?.problem).toContain(words)
})

test.each([
  'main=redis://user:hunter2@127.0.0.1:99999',
  'redis://user:hunter2@127.0.0.1:8001',
  'main=http://user:hunter2@127.0.0.1',
  'main=redis://user:hunter2@a b',
  'm=redis://u:hunter2@a,m=redis://u:hunter2@b',
])('no error shows the password in %s', (sources) => {
  const read = () => readConfig({ ENIGMA_SOURCES: sources, AWS_REGION: 'eu-west-1' })
  expect(read).toThrow(/ENIGMA_SOURCES/)
  expect(read).not.toThrow(/hunter2/)
})

test("an address that Redis' client would stumble over is said with the variable and the fix, and without the password", async () => {
  const folder = await useFolder()
  const notPem = join(folder, 'ca.pem')
  await writeFile(notPem, 'no certificate')
  for (const [address, problem, fix] of [
    ['redis://:hidden%zz@10.0.0.1:8001', /a % that stands for nothing/, /%25/],
    ['redis://10.0.0.1:8001/first', /no number of a database/, /8001\/1/],
    [`rediss://10.0.0.1:8001?caFile=${notPem}`, /holds no certificate in PEM/, /BEGIN CERTIFICATE/],
  ] as const) {
    const faults = faultsOf({ ENIGMA_SOURCES: `main=${address}`, AWS_REGION: 'eu-west-1' })
    expect(faults).toEqual([
      {
        name: 'ENIGMA_SOURCES',
        problem: expect.stringMatching(problem) as string,
        fix: expect.stringMatching(fix) as string,
      },
    ])
    expect(JSON.stringify(faults)).not.toContain('hidden')
  }
})

test('secrets of a source may stand in files; what cannot be used is said with the fix, and without the password', async () => {
  const folder = await useFolder()
  const [ca, password] = [join(folder, 'ca.pem'), join(folder, 'password')]
  await writeFile(ca, '-----BEGIN CERTIFICATE-----\n')
  await writeFile(password, '')
  const sourcesOf = (address: string) =>
    readConfig({ ENIGMA_SOURCES: `main=${address}`, AWS_REGION: 'eu-west-1' }).sources
  expect(sourcesOf(`rediss://relay@dialler:8001/2?caFile=${ca}&passwordFile=${password}&servername=d`)).toEqual([
    { id: 'main', url: 'rediss://relay@dialler:8001/2', caFile: ca, passwordFile: password, servername: 'd' },
  ])
  const fault = (address: string) => faultsOf({ ENIGMA_SOURCES: `main=${address}`, AWS_REGION: 'eu-west-1' })
  const wrong: [string, RegExp][] = [
    [`rediss://h?caFile=${ca}.not`, /caFile of "main" cannot be read/],
    [`rediss://h?passwordFile=${folder}`, /passwordFile of "main" cannot be read/],
    [`redis://h?caFile=${ca}`, /no TLS/],
    ['redis://:topsecret@h?password=topsecret', /parameter that is not known/],
    [`redis://:topsecret@h?passwordFile=${password}`, /one in a file/],
    [`redis://u@h?userFile=${password}&passwordFile=${password}`, /a user in the address and one in a file/],
    [`redis://h?userFile=${password}`, /no password/],
    ['redis://h?caFile=', /empty/],
  ]
  for (const [address, words] of wrong) {
    const [found] = fault(address)
    expect(found).toMatchObject({ name: 'ENIGMA_SOURCES', problem: expect.stringMatching(words) as string })
    expect(JSON.stringify(found)).not.toContain('topsecret')
  }
})
