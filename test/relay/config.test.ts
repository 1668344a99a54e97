import { writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { DEFAULT_LIMITS, formatRoutes, OTHER } from '../../src/protocol/index.ts'
import { ConfigError } from '../../src/runtime/index.ts'
import { readConfig } from '../../src/relay/index.ts'
import { useFolder } from '../support/relay.ts'
import { ROUTES } from '../support/routes.ts'

/** A secret of 32 zero bytes. */
const SECRET = `whsec_${Buffer.alloc(32).toString('base64')}`

const faultsOf = (env: Record<string, string>) => {
  try {
    readConfig(env, ROUTES)
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
  return []
}

test('with only a region set, every other setting has its default', () => {
  expect(readConfig({ AWS_REGION: 'eu-west-1' })).toEqual({
    sources: [{ id: 'main', url: 'redis://127.0.0.1:8001' }],
    lists: [],
    listEnd: 'right',
    channels: ['enigma:notifications*'],
    resync: 'enigma',
    targets: { to: 'sqs', ofRoutes: new Map(), access: {} },
    api: undefined,
    queuePrefix: 'enigma-',
    dataDir: '.enigma/relay',
    relayId: hostname(),
    linger: true,
    commands: true,
    parkedMax: 10_000,
    http: { host: '127.0.0.1', port: 8081 },
    logLevel: 'info',
    region: 'eu-west-1',
    endpoint: undefined,
    proxies: { https: undefined, http: undefined, except: '' },
  })
})

test('comma-separated values are trimmed, and empty or repeated values are ignored', () => {
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

test('ENIGMA_ROUTES reads the route table from a file; the error for an unusable file names the path and the fix', async () => {
  const folder = await useFolder()
  const [file, none] = [join(folder, 'routes.json'), join(folder, 'none.json')]
  await writeFile(file, formatRoutes([{ ...DEFAULT_LIMITS, name: 'agents-break', type: 'agents', subType: 'break' }]))
  const { routes } = readConfig({ ENIGMA_ROUTES: file, AWS_REGION: 'eu-west-1' })
  expect(routes?.find('agents', 'break')?.name).toBe('agents-break')
  expect(routes?.find('agents', 'call')).toBeUndefined()
  expect(routes?.all.at(-1)).toBe(OTHER)
  await writeFile(file, '[{}]')
  for (const path of [none, file])
    expect(faultsOf({ ENIGMA_ROUTES: path, AWS_REGION: 'eu-west-1' })).toEqual([
      {
        name: 'ENIGMA_ROUTES',
        problem: expect.stringContaining(path) as string,
        fix: expect.stringContaining('dist/routes.json') as string,
      },
    ])
})

test('ENIGMA_LISTS and ENIGMA_CHANNELS accept "none" for no list and no channel', () => {
  const { lists, channels } = readConfig({ ENIGMA_LISTS: 'none', ENIGMA_CHANNELS: 'none', AWS_REGION: 'eu-west-1' })
  expect([lists, channels]).toEqual([[], []])
})

test('ENIGMA_LISTS cannot name a key of the relay, such as its parked list', () => {
  for (const list of ['enigma:relay:parked', 'enigma:notifications:cdr,enigma:relay:claims'])
    expect(() => readConfig({ ENIGMA_LISTS: list, AWS_REGION: 'eu-west-1' })).toThrow(
      /ENIGMA_LISTS: names enigma:relay:/,
    )
})

test('ENIGMA_RESYNC sets the key prefix of the present states, and "none" disables the resync', () => {
  const resyncOf = (text: string) => readConfig({ ENIGMA_RESYNC: text, AWS_REGION: 'eu-west-1' }).resync
  expect(['none', '', 'acme:enigma'].map(resyncOf)).toEqual([undefined, 'enigma', 'acme:enigma'])
})

test('ENIGMA_LINGER=none disables lingering', () => {
  const lingerOf = (text: string) => readConfig({ ENIGMA_LINGER: text, AWS_REGION: 'eu-west-1' }).linger
  expect(['none', 'routes', ''].map(lingerOf)).toEqual([false, true, true])
})

test('ENIGMA_HTTP accepts an IPv6 address and the address of all interfaces', () => {
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

test('one error lists all invalid settings, each with a fix', () => {
  const faults = faultsOf({
    ENIGMA_SOURCES: 'redis://127.0.0.1:8001',
    ENIGMA_LIST_END: 'top',
    ENIGMA_QUEUE_PREFIX: 'my queues',
    ENIGMA_RELAY_ID: 'a relay',
    ENIGMA_HTTP: '8081',
    ENIGMA_LINGER: '100ms',
    ENIGMA_LOG_LEVEL: 'loud',
    AWS_ENDPOINT_URL_SQS: 'localhost:4566',
  })
  expect(faults.map(({ name }) => name)).toEqual([
    'ENIGMA_SOURCES',
    'ENIGMA_LIST_END',
    'ENIGMA_QUEUE_PREFIX',
    'ENIGMA_RELAY_ID',
    'ENIGMA_LINGER',
    'ENIGMA_HTTP',
    'ENIGMA_LOG_LEVEL',
    'AWS_ENDPOINT_URL_SQS',
    'AWS_REGION',
  ])
  for (const fault of faults) expect(fault.fix).toMatch(/\w/)
})

test.each([
  ['ENIGMA_SOURCES', 'main=http://127.0.0.1', 'main=redis://'],
  ['ENIGMA_SOURCES', 'main=redis://127.0.0.1:99999', 'main=redis://'],
  ['ENIGMA_SOURCES', 'a b=redis://127.0.0.1', 'id=redis://'],
  ['ENIGMA_SOURCES', '=redis://127.0.0.1', 'id=redis://'],
  ['ENIGMA_SOURCES', 'none', 'main=redis://'],
  ['ENIGMA_SOURCES', 'a=redis://one,a=redis://two', 'id'],
  ['ENIGMA_HTTP', '127.0.0.1:70000', '127.0.0.1:8081'],
  ['ENIGMA_QUEUE_PREFIX', 'x'.repeat(41), 'enigma-'],
  ['ENIGMA_RESYNC', 'enigma:campaigns,enigma:agents', 'enigma'],
  ['ENIGMA_RESYNC', 'enigma:', 'enigma'],
])('%s=%s is rejected, and the fix suggests %s', (name, value, example) => {
  expect(faultsOf({ [name]: value, AWS_REGION: 'eu-west-1' })).toMatchObject([
    { name, fix: expect.stringContaining(example) as string },
  ])
})

test.each([
  'main=redis://user:hunter2@127.0.0.1:99999',
  'redis://user:hunter2@127.0.0.1:8001',
  'main=http://user:hunter2@127.0.0.1',
  'main=redis://user:hunter2@a b',
  'm=redis://u:hunter2@a,m=redis://u:hunter2@b',
])('no error shows the password in %s', (sources) => {
  const read = () => readConfig({ ENIGMA_SOURCES: sources, AWS_REGION: 'eu-west-1' })
  expect(read).toThrow(
    expect.objectContaining({
      code: 'config.variables.invalid',
      message: expect.stringMatching(/ENIGMA_SOURCES(?!.*hunter2)/s) as string,
    }) as Error,
  )
})

test('an address that the Redis client cannot use is reported with the variable and the fix, but without the password', async () => {
  const folder = await useFolder()
  const notPem = join(folder, 'ca.pem')
  await writeFile(notPem, 'no certificate')
  for (const [address, fix] of [
    ['redis://:hidden%zz@10.0.0.1:8001', '%25'],
    ['redis://10.0.0.1:8001/first', '8001/1'],
    [`rediss://10.0.0.1:8001?caFile=${notPem}`, 'BEGIN CERTIFICATE'],
  ] as const) {
    const faults = faultsOf({ ENIGMA_SOURCES: `main=${address}`, AWS_REGION: 'eu-west-1' })
    expect(faults).toEqual([
      {
        name: 'ENIGMA_SOURCES',
        problem: expect.stringContaining('"main"') as string,
        fix: expect.stringContaining(fix) as string,
      },
    ])
    expect(JSON.stringify(faults)).not.toContain('hidden')
  }
})

test('a source can read its secrets from files; the error for an unusable option has the fix, but not the password', async () => {
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
    [`rediss://h?caFile=${ca}.not`, /caFile.*"main".*ca\.pem\.not/],
    [`rediss://h?passwordFile=${folder}`, /passwordFile.*"main"/],
    [`redis://h?caFile=${ca}`, /main=rediss:/],
    ['redis://:topsecret@h?password=topsecret', /caFile, .*passwordFile/],
    [`redis://:topsecret@h?passwordFile=${password}`, /"main".*password/],
    [`redis://u@h?userFile=${password}&passwordFile=${password}`, /"main".*user/],
    [`redis://h?userFile=${password}`, /passwordFile=…/],
    ['redis://h?caFile=', /caFile=…/],
  ]
  for (const [address, words] of wrong) {
    const [found] = fault(address)
    expect(found).toMatchObject({ name: 'ENIGMA_SOURCES' })
    expect(`${found?.problem}; ${found?.fix}`).toMatch(words)
    expect(JSON.stringify(found)).not.toContain('topsecret')
  }
})

const targetsOf = (env: Record<string, string>) => readConfig(env, ROUTES).targets

test('a target is set for all routes or per route; AWS_REGION is required only if a route goes to SQS', () => {
  const all = readConfig({ ENIGMA_TARGET: 'https://example.com/enigma?stage=prod' }, ROUTES)
  expect(all.targets.to).toEqual(new URL('https://example.com/enigma?stage=prod'))
  expect(all.region).toBe('')
  const { to, ofRoutes } = targetsOf({
    AWS_REGION: 'eu-west-1',
    ENIGMA_TARGET_AGENTS_CALL: 'https://example.com/calls',
    ENIGMA_TARGET_CAMPAIGNS_DIAL_PREVIEW: 'http://10.0.0.1/',
    ENIGMA_TARGET_OTHER: 'sqs',
  })
  expect([to, Object.fromEntries(ofRoutes)]).toEqual([
    'sqs',
    {
      'agents-call': new URL('https://example.com/calls'),
      'campaigns-dial_preview': new URL('http://10.0.0.1/'),
      other: 'sqs',
    },
  ])
  // One route on SQS is enough to need a region.
  const faults = faultsOf({ ENIGMA_TARGET: 'https://example.com', ENIGMA_TARGET_RELAY_ALIVE: 'sqs' })
  expect(faults.map(({ name }) => name)).toEqual(['AWS_REGION'])
})

test('ENIGMA_TARGET_TIMEOUT sets the request timeout in seconds and has no default; an invalid value is rejected', () => {
  expect(targetsOf({ ENIGMA_TARGET: 'https://example.com', ENIGMA_TARGET_TIMEOUT: '5' }).timeoutSeconds).toBe(5)
  expect(targetsOf({ ENIGMA_TARGET: 'https://example.com' }).timeoutSeconds).toBeUndefined()
  for (const wrong of ['0', '901', '1.5', 'soon', '-1'])
    expect(
      faultsOf({ AWS_REGION: 'eu-west-1', ENIGMA_TARGET: 'https://example.com', ENIGMA_TARGET_TIMEOUT: wrong }),
    ).toMatchObject([{ name: 'ENIGMA_TARGET_TIMEOUT', fix: expect.stringContaining('such as 5') as string }])
})

test('all invalid target settings are reported at once, each with its fix and without secrets', async () => {
  const folder = await useFolder()
  const file = join(folder, 'secret')
  await writeFile(file, 'whsec_c2hvcnQ=')
  const faults = faultsOf({
    ENIGMA_TARGET: 'https://relay:hidden@example.com',
    ENIGMA_TARGET_AGENTS_CAL: 'https://example.com',
    ENIGMA_TARGET_AGENTS_CALL: 'ftp://example.com',
    ENIGMA_TARGET_SECRET: 'hidden',
    ENIGMA_TARGET_SECRET_FILE: file,
    ENIGMA_TARGET_TOKEN: 'hid den',
    ENIGMA_TARGET_TOKEN_FILE: join(folder, 'none'),
    ENIGMA_TARGET_CERT: join(folder, 'none.pem'),
    ENIGMA_TARGET_CA: file,
    AWS_REGION: 'eu-west-1',
  })
  const fixes = [
    ['ENIGMA_TARGET', 'set ENIGMA_TARGET_TOKEN or ENIGMA_TARGET_SECRET'],
    ['ENIGMA_TARGET_AGENTS_CAL', 'ENIGMA_TARGET_AGENTS_CALL'],
    ['ENIGMA_TARGET_AGENTS_CALL', 'write https://example.com/enigma, or sqs'],
    ['ENIGMA_TARGET_CA', 'the authority'],
    ['ENIGMA_TARGET_CERT', 'write the file'],
    ['ENIGMA_TARGET_SECRET', 'openssl rand -base64 32'],
    ['ENIGMA_TARGET_SECRET_FILE', 'openssl rand -base64 32'],
    ['ENIGMA_TARGET_TOKEN', 'write a token'],
    ['ENIGMA_TARGET_TOKEN_FILE', 'write the file'],
  ] as const
  expect(faults.toSorted((a, b) => a.name.localeCompare(b.name))).toMatchObject(
    fixes.map(([name, fix]) => ({ name, fix: expect.stringContaining(fix) as string })),
  )
  expect(JSON.stringify(faults)).not.toMatch(/hid|c2hvcnQ/)
})

test.each([
  [{ ENIGMA_TARGET_SECRET: SECRET, ENIGMA_TARGET_SECRET_FILE: 'FILE' }, 'ENIGMA_TARGET_SECRET', /remove one/],
  [{ ENIGMA_TARGET_CERT: 'FILE' }, 'ENIGMA_TARGET_CERT', /belong together/],
  [{ ENIGMA_TARGET_CERT: 'FILE', ENIGMA_TARGET_KEY: 'FILE' }, 'ENIGMA_TARGET_CERT', /belong together/],
  [{ ENIGMA_TARGET: 'http://example.com', ENIGMA_TARGET_CA: 'CERTIFICATE' }, 'ENIGMA_TARGET_CA', /https/],
] as const)('target settings that do not fit together are rejected: %o', async (given, name, fix) => {
  const folder = await useFolder()
  const [file, certificate] = [join(folder, 'secret'), join(folder, 'ca.pem')]
  await writeFile(file, SECRET)
  await writeFile(certificate, '-----BEGIN CERTIFICATE-----')
  const texts = Object.entries({ ENIGMA_TARGET: 'https://example.com', ...given }).map(([variable, text]) => [
    variable,
    text.replace('FILE', file).replace('CERTIFICATE', certificate),
  ])
  expect(faultsOf(Object.fromEntries(texts) as Record<string, string>)).toMatchObject([
    { name, fix: expect.stringMatching(fix) as string },
  ])
})
