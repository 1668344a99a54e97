import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { readConfig } from '../../../src/relay/index.ts'
import { createSqs } from '../../../src/relay/targets/sqs/sqs-client.ts'
import { captureLog } from '../../support/log.ts'
import { useFolder, waitFor } from '../../support/relay.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { startRelayProcess } from '../../support/relay-process.ts'
import { useSender } from '../../support/sender.ts'
import { useSqsFaults, type Answer } from '../../support/sqs-faults.ts'
import { useEnv } from '../../support/env.ts'

/** A credentials file, and an SQS that takes one key only. */
async function useRotation() {
  const folder = await useFolder()
  const file = join(folder, 'credentials')
  const server = await useSqsFaults()
  const state = {
    valid: 'ONE',
    rejection: { status: 403, code: 'InvalidClientTokenId' } as Answer,
  }
  server.state.answer = ({ accessKey }) => (accessKey === state.valid ? 'accept' : state.rejection)
  const write = async (key: string) => {
    await writeFile(`${file}.new`, `[default]\naws_access_key_id = ${key}\naws_secret_access_key = secret-of-${key}\n`)
    await rename(`${file}.new`, file)
  }
  await write('ONE')
  return { folder, file, server, state, write }
}

async function useRotatedSender() {
  const rotation = await useRotation()
  useEnv({
    AWS_ACCESS_KEY_ID: undefined,
    AWS_SECRET_ACCESS_KEY: undefined,
    AWS_SHARED_CREDENTIALS_FILE: rotation.file,
    AWS_CONFIG_FILE: join(rotation.folder, 'none'),
    AWS_EC2_METADATA_DISABLED: 'true',
  })
  const { log, coded, lines } = captureLog()
  const config = readConfig({ AWS_REGION: 'us-east-1', AWS_ENDPOINT_URL_SQS: rotation.server.endpoint })
  const sqs = createSqs(config, { requestTimeoutMs: 5_000, log })
  onTestFinished(() => sqs.destroy())
  return { ...rotation, ...useSender(sqs), renewed: () => coded('relay.credentials.renewed'), logLines: lines }
}

test.each<[string, Answer]>([
  ['InvalidClientTokenId', { status: 403, code: 'InvalidClientTokenId' }],
  ['ExpiredToken', { status: 403, code: 'ExpiredToken' }],
  ['UnrecognizedClientException', { status: 400, code: 'UnrecognizedClientException' }],
  ['InvalidSignatureException', { status: 403, code: 'InvalidSignatureException' }],
  [
    'AccessDenied in words of a token',
    { status: 403, code: 'AccessDeniedException', message: 'The security token included in the request is expired' },
  ],
])(
  'a credentials file that is rotated is read again when AWS answers %s, and logged once, without a secret',
  async (_name, rejection) => {
    const { state, push, drained, write, renewed, sender, coded, logLines, server, lines } = await useRotatedSender()
    state.rejection = rejection
    push('1000', 0)
    await drained()
    await write('TWO')
    state.valid = 'TWO'
    push('1000', 1)
    await drained()
    expect(server.accepted.map(({ accessKey }) => accessKey)).toEqual(['ONE', 'TWO'])
    expect([renewed().length, coded('relay.sqs.credentials_rejected').length]).toEqual([1, 1])
    expect(sender.status.failingSince).toBeUndefined()
    expect([...logLines, ...lines].join('')).not.toMatch(/secret-of|"ONE"|"TWO"/)
  },
)

test.each([
  ['missing', (file: string) => rm(file)],
  ['half-written', (file: string) => writeFile(file, '[default]\naws_access_key_id = TWO\n')],
])('a credentials file that is %s for a moment leaves the keys unchanged', async (_how, spoil) => {
  const { file, state, push, drained, write, server } = await useRotatedSender()
  push('1000', 0)
  await drained()
  state.valid = 'NONE'
  await spoil(file)
  push('1000', 1)
  await waitFor(() => server.requests.length > 3, 'it to be rejected')
  state.valid = 'ONE'
  await drained()
  await write('ONE')
  expect(server.accepted.map(({ accessKey }) => accessKey)).toEqual(['ONE', 'ONE'])
})

test('a relay whose credentials file is rotated reports why it is not ready, and continues without a restart', async () => {
  const { folder, file, server, state, write } = await useRotation()
  const redis = await useRedisServer()
  const client = await useRedisClient(redis.url)
  const LIST = 'enigma:notifications:campaigns'
  const relay = startRelayProcess({
    redisUrl: redis.url,
    endpoint: server.endpoint,
    lists: [LIST],
    dataDir: folder,
    credentials: false,
    env: { AWS_SHARED_CREDENTIALS_FILE: file },
  })
  await relay.ready()
  await client.lPush(LIST, '{"type":"cdr","payload":{"call_ref":1}}')
  await waitFor(() => server.accepted.length === 1, 'the first to arrive')
  state.valid = 'TWO'
  await client.lPush(LIST, '{"type":"cdr","payload":{"call_ref":1}}')
  await waitFor(async () => (await relay.readiness()).status === 503, 'it to be not ready')
  expect((await relay.readiness()).parts['sqs:campaigns-cdr']?.reason).toContain('AWS does not accept the credentials')
  await write('TWO')
  await waitFor(() => server.accepted.length === 2, 'the second to arrive')
  await waitFor(async () => (await relay.readiness()).status === 200, 'it to be ready')
  expect(relay.coded('relay.credentials.renewed')).toHaveLength(1)
})
