import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { startSqsServer } from '../../src/local/local-aws.ts'

import { useProxy } from '../support/proxy.ts'
import { receiveAll, useFolder, waitFor } from '../support/relay.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useSqs } from '../support/sqs.ts'
import { LAUNCHER, refusalOf, ROOT, runCli, start } from './run.ts'
import { ROUTES } from '../support/routes.ts'

const CREDENTIALS = { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' }

test('--help names every command, examples and the exit codes', async () => {
  const { code, stdout } = await runCli(['--help'])
  expect(code).toBe(0)
  for (const words of ['relay', 'queues', 'simulate', 'dev', 'Examples:', 'Exit codes:'])
    expect(stdout).toContain(words)
})

test('relay --help names every variable that the relay reads', async () => {
  const { code, stdout } = await runCli(['relay', '--help'])
  expect(code).toBe(0)
  const config = await readFile(`${ROOT}/src/relay/config.ts`, 'utf8')
  const names = [...config.matchAll(/reader\.read\('(\w+)'/g)].map(([, name]) => name as string)
  expect(names.length).toBeGreaterThan(8)
  const more = [
    'TARGET',
    'TARGET_SECRET',
    'TARGET_TOKEN',
    'TARGET_CERT',
    'TARGET_KEY',
    'TARGET_CA',
    'API_URL',
    'API_TOKEN',
  ]
  names.push(...more.map((name) => `ENIGMA_${name}`))
  for (const name of names) expect(stdout).toContain(name)
})

test('--version prints the version of package.json', async () => {
  const { version } = JSON.parse(await readFile(`${ROOT}/package.json`, 'utf8')) as { version: string }
  expect(await runCli(['--version'])).toEqual({ code: 0, stdout: `enigma-relay ${version}\n`, stderr: '' })
})

test.each([
  [['nonsense'], "'nonsense' (cli.arguments.invalid)"],
  [[], 'Usage:'],
] as const)('%j ends with 2 and says what is wrong', async (args, words) => {
  const { code, stderr, stdout } = await runCli(args)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toContain(words)
})

test.each([
  [['relay', '--foo'], '--foo'],
  [['relay', 'extra'], 'relay'],
  [['dev', '--agents', '0'], '--agents'],
  [['dev', '--agents', '1.5'], '--agents'],
  [['dev', '--speed', '0'], '--speed'],
  [['dev', '--speed', 'fast'], '--speed'],
  [['simulate', '--seed', 'x'], '--seed'],
  [['simulate', '--url', 'http://127.0.0.1'], '--url'],
  [['simulate', '--url', 'redis://127.0.0.1/name'], '--url'],
  [['simulate', '--backup', ''], '--backup'],
  [['parked', '--reason', 'nope'], '--reason'],
  [['parked', '--show', ''], '--show'],
  [['parked', '--retry', 'main/l/1/1', ''], '--retry'],
  [['parked', '--drop', ' '], '--drop'],
  [['parked', '--export', ''], '--export'],
] as const)('%j is rejected, and the error names %s', async (args, name) => {
  expect(await refusalOf(args)).toMatch(new RegExp(`^enigma-relay: .*${name}.* \\(cli\\.arguments\\.invalid\\)$`, 'm'))
})

test.each(['relay', 'dev'])('%s with wrong variables ends with 2 and names all of them', async (command) => {
  const { code, stderr } = await runCli([command], {
    ENIGMA_SOURCES: 'redis://no-id:secret@host',
    ENIGMA_LIST_END: 'up',
    ENIGMA_HTTP: 'x',
  })
  expect(code).toBe(2)
  expect(stderr).toMatch(/^enigma-relay: .+ \(config\.variables\.invalid\):\n/)
  for (const name of ['ENIGMA_SOURCES', 'ENIGMA_LIST_END', 'ENIGMA_HTTP']) expect(stderr).toContain(name)
  expect(stderr).not.toContain('secret')
})

test('dev reports a Redis and a folder that it cannot use, before it starts anything', async () => {
  const down = await runCli(['dev'], {
    REDIS_URL: 'redis://user:secret@127.0.0.1:1',
    ENIGMA_DATA_DIR: await useFolder(),
  })
  expect(down).toMatchObject({ code: 1, stdout: '' })
  expect(down.stderr).toMatch(/^enigma-relay: .*redis:\/\/127\.0\.0\.1:1.*ECONNREFUSED.* \(dev\.redis\.not_reached\)$/m)
  expect(down.stderr).not.toContain('secret')
  const file = await runCli(['dev'], { ENIGMA_DATA_DIR: join(ROOT, 'package.json') })
  expect(file).toMatchObject({ code: 1, stdout: '' })
  expect(file.stderr).toMatch(/^enigma-relay: .*package\.json.*ENIGMA_DATA_DIR.* \(dev\.folder\.unusable\)$/m)
})

test('a command whose output cannot be written ends with 1 and one sentence', async () => {
  const full = openSync('/dev/full', 'w')
  const child = spawn(process.execPath, [LAUNCHER, '--version'], { cwd: ROOT, stdio: ['ignore', full, 'pipe'] })
  closeSync(full)
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  expect((await once(child, 'close'))[0]).toBe(1)
  expect(stderr).toMatch(/^enigma-relay: .*ENOSPC.* \(cli\.output\.failed\)\n$/)
})

test('dev names a fault in its own variables together with those of the relay', async () => {
  const { code, stderr } = await runCli(['dev'], {
    ENIGMA_API: 'nowhere',
    ENIGMA_LIST_END: 'up',
    REDIS_URL: 'localhost:6379',
  })
  expect(code).toBe(2)
  for (const name of ['ENIGMA_API', 'ENIGMA_LIST_END', 'REDIS_URL']) expect(stderr).toContain(name)
})

test('queues prints every queue and its dead-letter queue, and needs no region for that', async () => {
  const { code, stdout } = await runCli(['queues'], { ENIGMA_QUEUE_PREFIX: 'mine-', ENIGMA_LIST_END: 'up' })
  expect(code).toBe(0)
  expect(stdout.trim().split('\n')).toHaveLength(ROUTES.all.length * 2 + 1)
  for (const { name } of ROUTES.all) {
    expect(stdout).toContain(`mine-${name}.fifo\n`)
    expect(stdout).toContain(`mine-${name}-dlq.fifo\n`)
  }
})

test('queues --create makes them once, and says what it made', async () => {
  const server = await startSqsServer()
  onTestFinished(() => server.stop())
  const env = { ...CREDENTIALS, AWS_ENDPOINT_URL_SQS: server.endpoint }
  const first = await runCli(['queues', '--create'], env)
  expect(first).toMatchObject({ code: 0, stderr: '' })
  expect(first.stdout).toMatch(new RegExp(`\\b${2 * ROUTES.all.length + 1}\\b.*\\b0\\b.* ${server.endpoint}`))
  const second = await runCli(['queues', '--create'], env)
  expect(second.stdout).toMatch(new RegExp(`\\b0\\b.*\\b${2 * ROUTES.all.length + 1}\\b.* ${server.endpoint}`))
})

test.each<[string, Record<string, string>, number, string]>([
  [
    'nothing listens there',
    { ...CREDENTIALS, AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:9' },
    1,
    '(cli.queues.not_created)',
  ],
  [
    'there are no credentials',
    { AWS_REGION: 'us-east-1', AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:9', AWS_EC2_METADATA_DISABLED: 'true' },
    1,
    '(cli.queues.not_created)',
  ],
  ['no region is set', {}, 2, 'AWS_REGION'],
])('queues --create says what to do when %s', async (_what, env, code, words) => {
  const ended = await runCli(['queues', '--create'], { ...env, HOME: '/nonexistent' })
  expect(ended).toMatchObject({ code, stdout: '' })
  expect(ended.stderr).toContain(words)
})

test('simulate plays on the given Redis until SIGINT, and ends with 0', async () => {
  const redis = await useRedisServer()
  const client = await useRedisClient(redis.url)
  const heard: string[] = []
  await client.pSubscribe('enigma:notifications*', (_packet, channel) => void heard.push(channel))
  const cli = start(process.execPath, [LAUNCHER, 'simulate', '--agents', '20', '--speed', '10', '--url', redis.url])
  await waitFor(() => heard.length > 20, 'packets')
  await cli.says(/published \d\d/)
  cli.child.kill('SIGINT')
  expect(await cli.ended).toMatchObject({ code: 0, stderr: '' })
})

test('simulate --backup writes packets to files while Redis is down, and pushes them once it is back', async () => {
  const [redis, folder] = [await useRedisServer(), await useFolder()]
  const [proxy, client] = [await useProxy(redis.port), await useRedisClient(redis.url)]
  const cli = start(process.execPath, [
    LAUNCHER,
    'simulate',
    '--agents',
    '40',
    '--speed',
    '20',
    '--url',
    `redis://127.0.0.1:${proxy.port}`,
    '--backup',
    folder,
  ])
  await cli.says(/pushed [1-9]/)
  const filesOf = async () => (await readdir(folder)).filter((name) => name.endsWith('.jsonl'))
  proxy.state.refuse = true
  proxy.cut()
  await waitFor(async () => (await filesOf()).length > 0, 'packets to be kept')
  const before = await client.lLen('enigma:notifications:campaigns')
  proxy.state.refuse = false
  await cli.says('(producer.backup.drained)')
  // What came in between is pushed after it.
  await waitFor(async () => (await filesOf()).length === 0, 'the files to be gone')
  expect(await client.lLen('enigma:notifications:campaigns')).toBeGreaterThan(before)
  cli.child.kill('SIGINT')
  expect(await cli.ended).toMatchObject({ code: 0, stderr: '' })
})

test('simulate says that it cannot reach Redis, and ends with 1', async () => {
  const { code, stderr } = await runCli(['simulate', '--url', 'redis://127.0.0.1:9'])
  expect(code).toBe(1)
  expect(stderr).toMatch(/^enigma-relay: .*ECONNREFUSED.*check --url.* \(cli\.simulate\.not_taken\)\n$/)
})

test('relay forwards until SIGTERM, and ends with 0', async () => {
  const redis = await useRedisServer()
  const sqs = await useSqs()
  const env = {
    ...CREDENTIALS,
    AWS_ENDPOINT_URL_SQS: sqs.endpoint,
    ENIGMA_SOURCES: `main=${redis.url}`,
    ENIGMA_LISTS: 'enigma:notifications:campaigns',
    ENIGMA_DATA_DIR: await useFolder(),
    ENIGMA_HTTP: '127.0.0.1:0',
  }
  const cli = start(process.execPath, [LAUNCHER, 'relay'], { env })
  await cli.says('relay.http.listening')
  const client = await useRedisClient(redis.url)
  await client.lPush('enigma:notifications:campaigns', '{"type":"cdr","payload":{"call_ref":1}}')
  expect(await receiveAll(sqs, 'campaigns-cdr', 1)).toMatchObject([{ data: '{"type":"cdr","payload":{"call_ref":1}}' }])
  cli.child.kill('SIGTERM')
  expect((await cli.ended).code).toBe(0)
})

test('a reader that closes the pipe, such as head, is no error', async () => {
  const { stderr } = await promisify(execFile)('bash', ['-c', `"$0" "$1" --help | true`, process.execPath, LAUNCHER])
  expect(stderr).toBe('')
})
