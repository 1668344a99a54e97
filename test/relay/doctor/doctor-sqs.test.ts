import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  SetQueueAttributesCommand,
} from '@aws-sdk/client-sqs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import type { Route } from '../../../src/protocol/index.ts'
import { examineSqs } from '../../../src/relay/doctor/target-checks.ts'
import { readConfig } from '../../../src/relay/index.ts'
import { runCli } from '../../cli/run.ts'
import { useCommandQueue } from '../../support/commands.ts'
import { byCheck } from '../../support/doctor.ts'
import { useFolder } from '../../support/relay.ts'
import { useSqs } from '../../support/sqs.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'
import { routeOf, ROUTES } from '../../support/routes.ts'

beforeAll(() => {
  process.env['AWS_ACCESS_KEY_ID'] ??= 'test'
  process.env['AWS_SECRET_ACCESS_KEY'] ??= 'test'
})

const lookAtSqs = async (endpoint: string, now: () => number = Date.now) =>
  byCheck(await examineSqs(readConfig({ AWS_ENDPOINT_URL_SQS: endpoint, AWS_REGION: 'us-east-1' }), ROUTES, now))

test('queues made by "queues --create" pass, the right to send is found, and doctor sends nothing', async () => {
  const { endpoint, sqs, queues } = await useSqs()
  const found = await lookAtSqs(endpoint)
  expect(
    Object.values(found)
      .flat()
      .filter(({ state }) => state !== 'ok'),
  ).toEqual([])
  for (const { name } of ROUTES.all)
    for (const of of ['queue', 'send']) expect(found[`sqs/${of}/${name}`], name).toHaveLength(1)
  for (const { url } of queues) {
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({
        QueueUrl: url,
        AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
      }),
    )
    expect(Attributes).toEqual({ ApproximateNumberOfMessages: '0', ApproximateNumberOfMessagesNotVisible: '0' })
  }
})

test('a missing queue or dead-letter queue fails, wrong attributes are reported per route, and the fixes work', async () => {
  const { endpoint, sqs, url } = await useSqs()
  const deadUrl = (route: string) => url(route).replace('.fifo', '-dlq.fifo')
  const attributesOf = async (QueueUrl: string) =>
    (await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }))).Attributes ?? {}
  const set = (route: string, Attributes: Record<string, string>) =>
    sqs.send(new SetQueueAttributesCommand({ QueueUrl: url(route), Attributes }))
  await sqs.send(new DeleteQueueCommand({ QueueUrl: url('agents-stats') }))
  await sqs.send(new DeleteQueueCommand({ QueueUrl: deadUrl('agents-call') }))
  await set('agents-status', { VisibilityTimeout: '30', MessageRetentionPeriod: '3600', MaximumMessageSize: '262144' })
  // The local server cannot change these attributes of an existing queue.
  const made = await attributesOf(url('campaigns-cdr'))
  await sqs.send(new DeleteQueueCommand({ QueueUrl: url('campaigns-cdr') }))
  const { RedrivePolicy = '', VisibilityTimeout = '', MessageRetentionPeriod = '', MaximumMessageSize = '' } = made
  await sqs.send(
    new CreateQueueCommand({
      QueueName: 'enigma-campaigns-cdr.fifo',
      Attributes: { FifoQueue: 'true', RedrivePolicy, VisibilityTimeout, MessageRetentionPeriod, MaximumMessageSize },
    }),
  )
  const arn = (await attributesOf(deadUrl('campaigns-status')))['QueueArn'] ?? ''
  await set('campaigns-stats', { RedrivePolicy: JSON.stringify({ deadLetterTargetArn: arn, maxReceiveCount: 10 }) })
  await set('campaigns-status', { RedrivePolicy: JSON.stringify({ deadLetterTargetArn: arn, maxReceiveCount: 3 }) })
  const found = await lookAtSqs(endpoint)
  const of = (route: string) => found[`sqs/queue/${route}`]?.[0]
  expect(of('agents-stats')).toMatchObject({
    state: 'fail',
    code: 'doctor.queue.missing',
    text: expect.stringContaining('enigma-agents-stats.fifo') as string,
    fix: expect.stringContaining('enigma-relay queues --create') as string,
  })
  expect(found['sqs/send/agents-stats']).toBeUndefined()
  expect(found['sqs/limits']).toBeUndefined()
  expect(of('agents-call')).toMatchObject({
    state: 'fail',
    code: 'doctor.queue.no_dead_letter_queue',
    text: expect.stringContaining('enigma-agents-call-dlq.fifo') as string,
    fix: 'enigma-relay queues --create',
  })
  expect(of('agents-status')).toMatchObject({ state: 'warn', code: 'doctor.queue.attributes' })
  for (const figure of [/\b30 s\b/, /\b1 h\b.*\b14 days\b/, /\b262144 bytes\b/])
    expect(of('agents-status')?.text).toMatch(figure)
  expect(of('campaigns-cdr')).toMatchObject({
    state: 'warn',
    code: 'doctor.queue.attributes',
    // One fault and no other.
    text: expect.stringMatching(/^enigma-campaigns-cdr.fifo: [^;]*$/) as string,
    fix: expect.stringContaining(
      '"DeduplicationScope":"messageGroup","FifoThroughputLimit":"perMessageGroupId"',
    ) as string,
  })
  expect(of('campaigns-stats')).toMatchObject({
    state: 'fail',
    code: 'doctor.queue.attributes',
    text: expect.stringMatching(/enigma-campaigns-status-dlq\.fifo.*enigma-campaigns-stats-dlq\.fifo/) as string,
  })
  expect(of('campaigns-status')).toMatchObject({
    state: 'warn',
    code: 'doctor.queue.attributes',
    text: expect.stringMatching(
      new RegExp(`\\b3\\b.*\\b${routeOf('campaigns', 'status').maxReceiveCount}\\b`),
    ) as string,
  })
  expect(of('inbound-call')?.state).toBe('ok')
  // With the attributes that the fixes set, the checks pass.
  const mendable = ['agents-status', 'campaigns-stats', 'campaigns-status']
  for (const route of mendable) {
    const json = /--attributes '(.*)'$/.exec(of(route)?.fix ?? '')?.[1] ?? '{}'
    expect(of(route)?.fix).toContain(`--queue-url ${url(route)}`)
    await set(route, JSON.parse(json) as Record<string, string>)
  }
  const keys = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' }
  const env = { AWS_ENDPOINT_URL_SQS: endpoint, AWS_REGION: 'us-east-1', ...keys }
  expect(await runCli(['queues', '--create'], env)).toMatchObject({ code: 0 })
  const mended = await lookAtSqs(endpoint)
  for (const route of [...mendable, 'agents-stats', 'agents-call'])
    expect(mended[`sqs/queue/${route}`]?.[0]).toMatchObject({ state: 'ok' })
})

test('a queue without a dead-letter queue fails', async () => {
  const { endpoint, sqs, url } = await useSqs()
  await sqs.send(new DeleteQueueCommand({ QueueUrl: url('dialers-status') }))
  await sqs.send(new CreateQueueCommand({ QueueName: 'enigma-dialers-status.fifo', Attributes: { FifoQueue: 'true' } }))
  expect((await lookAtSqs(endpoint))['sqs/queue/dialers-status']?.[0]).toMatchObject({
    state: 'fail',
    code: 'doctor.queue.attributes',
    fix: expect.stringContaining('enigma-dialers-status-dlq.fifo') as string,
  })
})

test('a denied send fails; an unexpected error and a server that accepts an invalid message are different warnings', async () => {
  const { endpoint, state } = await useSqsFaults()
  state.answer = ({ queue }) => {
    if (queue === 'enigma-agents-call.fifo') return { status: 403, code: 'AccessDeniedException' }
    if (queue === 'enigma-agents-status.fifo') return { status: 400, code: 'Surprise' }
    return queue === 'enigma-other.fifo'
      ? 'accept'
      : { fail: () => ({ Code: 'InvalidMessageContents', SenderFault: true }) }
  }
  const found = await lookAtSqs(endpoint)
  expect(found['sqs/send/agents-call']?.[0]).toMatchObject({
    state: 'fail',
    code: 'doctor.send.denied',
    text: expect.stringContaining('enigma-agents-call.fifo') as string,
    fix: expect.stringContaining('sqs:SendMessage') as string,
  })
  expect(found['sqs/send/agents-status']?.[0]).toMatchObject({ state: 'warn', code: 'doctor.send.not_checked' })
  expect(found['sqs/send/other']?.[0]).toMatchObject({ state: 'warn', code: 'doctor.send.not_sqs' })
  expect(found['sqs/send/campaigns-cdr']?.[0]).toMatchObject({ state: 'ok' })
})

test('an unreadable queue fails and its send check is skipped; an unreadable dead-letter queue is a warning', async () => {
  const { endpoint, state } = await useSqsFaults()
  const denied = ['enigma-agents-call.fifo', 'enigma-other-dlq.fifo']
  const { maxReceiveCount } = ROUTES.all.find(({ name }) => name === 'other') as Route
  const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: 'arn:aws:sqs:::enigma-other-dlq.fifo', maxReceiveCount })
  // The unreadable dead-letter queue is the only fault of its queue.
  state.attributes = { DeduplicationScope: 'messageGroup', FifoThroughputLimit: 'perMessageGroupId', RedrivePolicy }
  state.refuse = (queue) => (denied.includes(queue) ? 'AccessDeniedException' : undefined)
  const found = await lookAtSqs(endpoint)
  expect(found['sqs/queue/agents-call']).toMatchObject([
    {
      state: 'fail',
      code: 'doctor.queue.unreadable',
      fix: expect.stringMatching(/sqs:GetQueueAttributes.*enigma-agents-call\.fifo/) as string,
    },
  ])
  expect(found['sqs/send/agents-call']).toBeUndefined()
  expect(found['sqs/queue/other']).toMatchObject([
    { state: 'warn', text: expect.stringContaining('enigma-other-dlq.fifo cannot be read') as string },
  ])
})

test('wrong attributes of a dead-letter queue are reported too, and the fix has one command per queue', async () => {
  const { endpoint, sqs, url } = await useSqs()
  const deadUrl = url('agents-call').replace('.fifo', '-dlq.fifo')
  const Attributes = { MessageRetentionPeriod: '86400', MaximumMessageSize: '1024' }
  await sqs.send(new SetQueueAttributesCommand({ QueueUrl: deadUrl, Attributes }))
  await sqs.send(
    new SetQueueAttributesCommand({ QueueUrl: url('agents-call'), Attributes: { VisibilityTimeout: '1' } }),
  )
  const finding = (await lookAtSqs(endpoint))['sqs/queue/agents-call']?.[0]
  expect(finding?.text).toMatch(
    /dlq\.fifo keeps messages for 1 day instead.*dlq\.fifo accepts messages of at most 1024 bytes/,
  )
  const [own = '', dead = ''] = finding?.fix?.split(' && ') ?? []
  expect(own).toMatch(/ --queue-url \S*enigma-agents-call\.fifo --attributes '\{"VisibilityTimeout":"60"\}'$/)
  expect(dead).toContain(
    ` --queue-url ${deadUrl} --attributes '{"MessageRetentionPeriod":"1209600","MaximumMessageSize":"1048576"}'`,
  )
})

test('credentials that AWS does not know are reported once', async () => {
  const { endpoint, state } = await useSqsFaults()
  state.refuse = () => 'UnrecognizedClientException'
  const found = await lookAtSqs(endpoint)
  expect(Object.keys(found)).toEqual(['sqs/answer', 'sqs/clock'])
  expect(found['sqs/answer']).toMatchObject([
    { code: 'doctor.sqs.unusable', fix: expect.stringContaining('AWS_ACCESS_KEY_ID') as string },
  ])
})

test('an error of the credential provider is quoted without numbers', async () => {
  const folder = await useFolder()
  const session = 'sso_start_url = https://sso.test/start\nsso_region = us-east-1\n'
  await writeFile(
    join(folder, 'config'),
    `[profile 27825550001]\nsso_session = doctor\nsso_account_id = 1\nsso_role_name = r\n[sso-session doctor]\n${session}`,
  )
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) vi.stubEnv(name, undefined)
  vi.stubEnv('AWS_PROFILE', '27825550001')
  vi.stubEnv('AWS_CONFIG_FILE', join(folder, 'config'))
  vi.stubEnv('HOME', folder)
  onTestFinished(() => void vi.unstubAllEnvs())
  const { endpoint } = await useSqsFaults()
  const [finding] = (await lookAtSqs(endpoint))['sqs/answer'] ?? []
  expect(finding?.code).toBe('doctor.sqs.unusable')
  expect(finding?.text).toContain('SSO session token associated with profile')
  expect(finding?.text).not.toContain('27825550001')
})

test('high throughput needs both of its attributes; an invalid redrive policy counts as no dead-letter queue', async () => {
  const { endpoint, state } = await useSqsFaults()
  const text = async (scope: string, limit: string) => {
    state.attributes = { DeduplicationScope: scope, FifoThroughputLimit: limit }
    return (await lookAtSqs(endpoint))['sqs/queue/other']?.[0]?.text
  }
  expect(await text('messageGroup', 'perMessageGroupId')).not.toContain('high-throughput')
  expect(await text('queue', 'perMessageGroupId')).toContain('high-throughput')
  expect(await text('messageGroup', 'perQueue')).toContain('high-throughput')
  state.attributes = { RedrivePolicy: 'not of SQS' }
  expect((await lookAtSqs(endpoint))['sqs/queue/other']?.[0]?.text).toContain('has no dead-letter queue')
})

test('for a queue with its own KMS key, doctor reports that it could not check the right to use the key', async () => {
  const { endpoint, state } = await useSqsFaults()
  state.attributes = { KmsMasterKeyId: 'alias/own' }
  state.answer = () => ({ fail: () => ({ Code: 'InvalidMessageContents', SenderFault: true }) })
  expect((await lookAtSqs(endpoint))['sqs/send/other']).toMatchObject([{ code: 'doctor.send.key_not_checked' }])
})

test('an answer without a date leaves the clock check undone, and one without results the send check; doctor reports both', async () => {
  const { endpoint, state } = await useSqsFaults()
  Object.assign(state, { hasDate: false, answer: () => ({ status: 200, code: 'nothing' }) })
  const found = await lookAtSqs(endpoint)
  expect(found['sqs/clock']).toMatchObject([{ code: 'doctor.clock.unknown' }])
  expect(found['sqs/send/other']).toMatchObject([{ state: 'warn', code: 'doctor.send.not_checked' }])
})

test('a queue that is not FIFO is reported, and doctor sends nothing to it, because it would accept the message', async () => {
  const { endpoint, requests } = await useSqsFaults({ fifo: false })
  const found = await lookAtSqs(endpoint)
  for (const { name } of ROUTES.all) expect(found[`sqs/queue/${name}`]?.[0]?.code, name).toBe('doctor.queue.not_fifo')
  expect(requests).toEqual([])
})

test.each([
  ['agrees', 0, { state: 'ok' }],
  ['is two minutes ahead', 120_000, { state: 'warn', code: 'doctor.clock.off' }],
  ['is ten minutes behind', -600_000, { state: 'fail', code: 'doctor.clock.refused' }],
] as const)('a clock that %s', async (_words, skewMs, finding) => {
  const { endpoint } = await useSqs()
  expect((await lookAtSqs(endpoint, () => Date.now() + skewMs))['sqs/clock']?.[0]).toMatchObject(finding)
})

test('a server that rejects the whole request because of its invalid entry has proved the right to send', async () => {
  const { endpoint, state } = await useSqsFaults()
  state.answer = ({ queue }) => ({
    status: 400,
    code: queue === 'enigma-other.fifo' ? 'MissingParameter' : 'InvalidParameterValue',
  })
  state.answerSignOfLife = state.answer
  const found = await lookAtSqs(endpoint)
  for (const { name } of ROUTES.all) expect(found[`sqs/send/${name}`]?.[0], name).toMatchObject({ state: 'ok' })
})

test('a server that omits queue attributes is reported once, and the omission is not reported as a fault of the queues', async () => {
  const { endpoint, state } = await useSqsFaults()
  state.maxBytes = undefined
  const found = await lookAtSqs(endpoint)
  expect(found['sqs/limits']).toMatchObject([{ code: 'doctor.queue.no_size_limit' }])
  for (const { name } of ROUTES.all)
    expect(found[`sqs/queue/${name}`]?.[0]?.fix ?? '', name).not.toContain('Throughput')
})

test('the command queue is checked without receiving a command; a missing or unreadable queue is a warning with a fix', async () => {
  const { endpoint, sqs } = await useSqs()
  const commands = await useCommandQueue({ sqs })
  await commands.send({ ids: ['main/l/1/1'] })
  expect((await lookAtSqs(endpoint))['sqs/commands']).toMatchObject([{ state: 'ok' }])
  const { Attributes } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl: commands.url, AttributeNames: ['ApproximateNumberOfMessages'] }),
  )
  expect(Attributes).toEqual({ ApproximateNumberOfMessages: '1' })
  const faults = await useSqsFaults()
  const find = async () => (await lookAtSqs(faults.endpoint))['sqs/commands']
  expect(await find()).toMatchObject([
    { state: 'warn', code: 'doctor.commands.missing', fix: expect.stringContaining('ENIGMA_COMMANDS=none') as string },
  ])
  faults.state.refuse = (queue) => (queue.includes('commands') ? 'AccessDenied' : undefined)
  expect(await find()).toMatchObject([
    {
      state: 'warn',
      code: 'doctor.commands.unreadable',
      fix: expect.stringMatching(
        /^allow sqs:GetQueueUrl and sqs:GetQueueAttributes on \S+, or set ENIGMA_COMMANDS=none$/,
      ) as string,
    },
  ])
})

test('an endpoint that is not SQS is reported once, and its page is not quoted', async () => {
  const { endpoint, state } = await useSqsFaults()
  state.page = '<html>the proxy of the house</html>'
  const found = await lookAtSqs(endpoint)
  expect(Object.keys(found)).toEqual(['sqs/answer', 'sqs/clock'])
  expect(found['sqs/answer']?.[0]).toMatchObject({
    code: 'doctor.sqs.unusable',
    text: expect.stringContaining('400') as string,
    fix: expect.stringContaining('AWS_ENDPOINT_URL_SQS') as string,
  })
  expect(JSON.stringify(found)).not.toContain('the proxy of the house')
})

test('an unreachable SQS is reported once, with its port', async () => {
  const found = await lookAtSqs('http://127.0.0.1:1')
  expect(Object.keys(found)).toEqual(['sqs/answer', 'sqs/clock'])
  expect(found['sqs/answer']?.[0]).toMatchObject({
    code: 'doctor.sqs.unusable',
    text: expect.stringContaining('http://127.0.0.1:1') as string,
  })
  const elsewhere = await lookAtSqs('http://127.0.0.1:65434')
  expect(elsewhere['sqs/answer']?.[0]?.text).toContain('ECONNREFUSED 127.0.0.1:65434')
})
