import { GetQueueAttributesCommand, ListQueuesCommand } from '@aws-sdk/client-sqs'
import { expect, test } from 'vitest'

import type { Finding } from '../../src/relay/doctor/check.ts'
import { everythingIn } from '../support/doctor.ts'
import { useFolder } from '../support/relay.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useSqs } from '../support/sqs.ts'
import { runCli } from './run.ts'
import { ROUTES } from '../support/routes.ts'

const LIST = 'enigma:notifications:campaigns'

async function useStreet() {
  const { url } = await useRedisServer({ args: ['--appendonly', 'yes'] })
  const { endpoint, sqs } = await useSqs()
  const env = {
    ENIGMA_SOURCES: `main=${url}`,
    ENIGMA_LISTS: LIST,
    ENIGMA_DATA_DIR: await useFolder(),
    ENIGMA_RELAY_ID: 'test',
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_ENDPOINT_URL_SQS: endpoint,
  }
  return {
    url,
    env,
    redis: await useRedisClient(url),
    /** Returns the queues, and the number of messages in each. */
    messagesIn: async () => {
      const { QueueUrls = [] } = await sqs.send(new ListQueuesCommand())
      const AttributeNames = ['ApproximateNumberOfMessages' as const]
      const counts = QueueUrls.map(async (QueueUrl) => [
        QueueUrl,
        (await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames }))).Attributes,
      ])
      return Promise.all(counts)
    },
    doctor: (args: readonly string[] = [], more: Record<string, string> = {}) =>
      runCli(['doctor', ...args], { ...env, ...more }),
  }
}

test('doctor prints one line per check and one for all queues, without colours, exits with 0 and changes nothing in Redis or SQS', async () => {
  const { url, redis, doctor, messagesIn } = await useStreet()
  await redis.rPush(LIST, [
    '{"type":"cdr","payload":{"dialed_at":2,"number":"27825550001"}}',
    '{"type":"cdr","payload":{"dialed_at":1}}',
  ])
  const before = [await everythingIn(url), await messagesIn()]
  const { code, stdout, stderr } = await doctor()
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const lines = stdout.trimEnd().split('\n')
  expect(lines.slice(0, -1).filter((line) => !/^(ok  |warn|fail) {2}[\w/:-]+ {2}\S/.test(line))).toEqual([])
  const starting = (start: string) => expect.stringMatching(new RegExp(`^ok {4}${start}\\b`)) as string
  expect(lines).toEqual(
    expect.arrayContaining([
      starting(`redis/main/list/${LIST}  2 items`),
      starting(`sqs/queues  ${ROUTES.all.length} queues`),
      starting(`sqs/rights  .*\\b${ROUTES.all.length} queues`),
    ]),
  )
  expect(lines.at(-1)).toMatch(/^\d+ ok, \d warn, 0 fail$/)
  expect(stdout).not.toContain('27825550001')
  expect([await everythingIn(url), await messagesIn()]).toEqual(before)
})

test('--json prints every check and a summary; a failed check exits with 1 and prints its fix', async () => {
  const { redis, doctor } = await useStreet()
  await redis.set(LIST, 'no list')
  const { code, stdout, stderr } = await doctor(['--json'])
  expect(code).toBe(1)
  expect(stderr).toContain('(cli.doctor.failed)')
  const { checks, summary } = JSON.parse(stdout) as { checks: Finding[]; summary: Record<string, number> }
  for (const finding of checks)
    expect(finding).toEqual({
      check: expect.any(String) as string,
      state: expect.stringMatching(/^(ok|warn|fail)$/) as string,
      text: expect.any(String) as string,
      ...(finding.state === 'ok' ? {} : { code: expect.stringMatching(/^doctor\.[a-z_]+\.[a-z_]+$/) as string }),
      ...(finding.fix === undefined ? {} : { fix: expect.any(String) as string }),
    })
  const names = (part: string, ends: readonly string[]) => ends.map((end) => `${part}/${end}`)
  const server = ['answer', 'version', 'role', 'source', 'memory', 'persistence']
  const pubsub = ['rights', 'heartbeat', 'output-buffer', 'channels', 'states']
  const lists = [`list/${LIST}`, 'lists', 'consumers', 'relay-id', 'claims', 'parked']
  const ofRoutes = (part: string) => ROUTES.all.map(({ name }) => `${part}/${name}`)
  expect(checks.map(({ check }) => check)).toEqual([
    ...names('machine', ['node', 'folder', 'disk', 'journal']),
    ...names('redis/main', [...server, ...pubsub, ...lists]),
    ...names('sqs', ['answer', 'clock', ...ofRoutes('queue'), ...ofRoutes('send'), 'commands']),
  ])
  for (const state of ['ok', 'warn', 'fail'])
    expect(summary[state]).toBe(checks.filter((finding) => finding.state === state).length)
  const text = await doctor()
  expect(text.code).toBe(1)
  expect(text.stdout).toMatch(new RegExp(`^fail  redis/main/list/${LIST}  .+  → .+  # doctor.list.wrong_type$`, 'm'))
})

test('an unreachable Redis, SQS and proxy print one line each; invalid variables exit with 2, without the password', async () => {
  const { doctor } = await useStreet()
  const { code, stdout } = await doctor([], {
    ENIGMA_SOURCES: 'main=redis://relay:hunter2@127.0.0.1:1',
    AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:1',
    HTTP_PROXY: 'http://127.0.0.1:2',
  })
  expect(code).toBe(1)
  expect(stdout.match(/^fail .*$/gm)).toEqual([
    expect.stringMatching(/redis\/main\/answer {2}.*127\.0\.0\.1:1\b.* # doctor\.redis\.unreachable$/),
    expect.stringMatching(/sqs\/proxy {2}.*127\.0\.0\.1:2\b.* # doctor\.proxy\.unusable$/),
    expect.stringMatching(/sqs\/answer {2}.* # doctor\.sqs\.unusable$/),
  ])
  expect(stdout).not.toContain('hunter2')
  const wrong = await doctor([], { ENIGMA_SOURCES: 'relay:hunter2@x', ENIGMA_LIST_END: 'up' })
  expect(wrong).toMatchObject({ code: 2, stdout: '' })
  expect(wrong.stderr).toContain('ENIGMA_LIST_END')
  expect(wrong.stderr).not.toContain('hunter2')
})
