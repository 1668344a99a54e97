import { hostname } from 'node:os'
import { expect, test } from 'vitest'
import { readSettings } from '../../src/local/street/street.ts'
import { hideCredentials } from '../../src/local/servers.ts'
import { nextDatabase } from '../../src/local/street/parts.ts'

const PLACES = {
  diallerUrl: 'redis://127.0.0.1:8001',
  target: { AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:4566' },
  httpPort: 9000,
}
const CLICK2DIAL_AND_CAMPAIGNS = [
  'enigma:notifications:campaigns',
  'enigma:notifications:cdr',
  'enigma:notifications:inbound',
]

test('without variables, the relay reads the Redis of the street, all lists of a dialler, and sends to the local SQS', () => {
  const settings = readSettings({}, '/state')
  expect(settings).toMatchObject({
    hasDialler: false,
    redisUrl: undefined,
    token: undefined,
    api: { host: '127.0.0.1', port: 8080 },
  })
  expect(settings.toRelayConfig(PLACES)).toMatchObject({
    sources: [{ id: 'main', url: 'redis://127.0.0.1:8001' }],
    lists: CLICK2DIAL_AND_CAMPAIGNS,
    dataDir: '/state/dev-relay',
    endpoint: 'http://127.0.0.1:4566',
    http: { host: '127.0.0.1', port: 9000 },
  })
})

test('a dialler in ENIGMA_SOURCES is read, and only the lists in ENIGMA_LISTS are taken from it', () => {
  const env = { ENIGMA_SOURCES: 'a=redis://dialler:8001' }
  const settings = readSettings(env, '/state')
  expect(settings.hasDialler).toBe(true)
  expect(settings.toRelayConfig(PLACES)).toMatchObject({
    sources: [{ id: 'a', url: 'redis://dialler:8001' }],
    lists: [],
  })
  const named = readSettings({ ...env, ENIGMA_LISTS: 'enigma:notifications:campaigns' }, '/state')
  expect(named.toRelayConfig(PLACES).lists).toEqual(['enigma:notifications:campaigns'])
})

test('a blank variable counts as unset', () => {
  const settings = readSettings(
    { ENIGMA_LISTS: ' ', ENIGMA_RELAY_ID: ' ', API_TOKEN: ' ', REDIS_URL: ' ', ENIGMA_SOURCES: '' },
    '/state',
  )
  expect(settings).toMatchObject({ token: undefined, redisUrl: undefined, hasDialler: false })
  expect(settings.toRelayConfig(PLACES)).toMatchObject({
    lists: CLICK2DIAL_AND_CAMPAIGNS,
    relayId: `dev-${hostname()}`,
  })
})

test('no variable leads to a real SQS', () => {
  const env = {
    AWS_REGION: 'eu-west-1',
    AWS_ENDPOINT_URL_SQS: 'https://sqs.eu-west-1.amazonaws.com',
    ENIGMA_QUEUE_PREFIX: 'live-',
  }
  expect(readSettings(env, '/state').toRelayConfig(PLACES)).toMatchObject({
    endpoint: 'http://127.0.0.1:4566',
    region: 'us-east-1',
    queuePrefix: 'live-',
  })
})

test('invalid variables of the relay and of the street are reported together', () => {
  const env = { ENIGMA_API: '8080', ENIGMA_LIST_END: 'up', REDIS_URL: 'localhost' }
  expect(() => readSettings(env, '/state')).toThrow(
    expect.objectContaining({
      code: 'config.variables.invalid',
      faults: ['REDIS_URL', 'ENIGMA_API', 'ENIGMA_LIST_END'].map(
        (name) => expect.objectContaining({ name }) as unknown,
      ),
    }) as Error,
  )
})

test.each([
  ['redis://127.0.0.1:6379', 'redis://127.0.0.1:6379/1'],
  ['redis://:secret@host:6379/3', 'redis://:secret@host:6379/4'],
])('the read model uses the database with the next number after %s', (url, next) => {
  expect(nextDatabase(url)).toBe(next)
})

test('an address is shown without its password', () => {
  expect(hideCredentials('rediss://user:secret@host:6379/1')).toBe('rediss://host:6379/1')
})
