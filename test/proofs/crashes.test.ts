import {
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startRedisServer } from '../../src/local/servers.ts'
import { startSqsServer } from '../../src/local/local-aws.ts'
import { formatEvent } from '../../src/protocol/index.ts'
import { notification } from '../adapter/factories.ts'
import { useBrowser } from '../support/browser.ts'
import { waitFor } from '../support/relay.ts'
import { SECRETS } from '../support/routes.ts'
import { button, cells, goTo, logIn, replay, rows, waitForBar } from './operator.ts'
import { kill, useStreetProcess, type StreetProcess } from './street-process.ts'

const browser = await useBrowser()

function useSdk(endpoint: string) {
  const sqs = new SQSClient({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    useQueueUrlAsEndpoint: false,
  })
  onTestFinished(() => sqs.destroy())
  return {
    sqs,
    urlOf: async (QueueName: string) => (await sqs.send(new GetQueueUrlCommand({ QueueName }))).QueueUrl as string,
    set: (QueueUrl: string, Attributes: Record<string, string>) =>
      sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes })),
  }
}

/** Finds the processes of a function. `isAwake`: only those in an invocation, since a function is frozen between two invocations. */
async function findFunctions(street: StreetProcess, name: RegExp, isAwake: boolean): Promise<readonly number[]> {
  const all = (await street.processes()).filter(({ environment }) =>
    name.test(/AWS_LAMBDA_FUNCTION_NAME=([^\0]*)/.exec(environment)?.[1] ?? ''),
  )
  const states = await Promise.all(
    all.map(({ pid }) =>
      readFile(`/proc/${pid}/stat`, 'utf8').then(
        (stat) => stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3),
        () => 'X',
      ),
    ),
  )
  return all.flatMap(({ pid }, at) => (isAwake && /[TXZ]/.test(states[at] ?? 'X') ? [] : [pid]))
}

test(
  'a replay completes although its tab is closed and its API and function are killed: nothing is lost, each effect is there once',
  { timeout: 300_000 },
  async () => {
    const count = 200
    const street = await useStreetProcess({ fail: ['campaigns-cdr=422'], env: SECRETS })
    await street.push(
      'campaigns',
      Array.from({ length: count }, (_, n) => ({
        type: 'cdr',
        payload: { ref: '12', call_ref: `c${n}`, dialed_at: Math.floor(Date.now() / 1_000), end_reason: 'hungup' },
      })),
    )
    await street.waitForParked(count)
    // Each function runs in separate processes, as on Lambda.
    await street.restart([], ['--no-simulator', '--bundles'])
    const { urlOf, set } = useSdk(street.sqsEndpoint())
    // SQS redelivers a step whose function was killed after 16 seconds, not after three minutes.
    await set(await urlOf('enigma-relay-replay.fifo'), { VisibilityTimeout: '16' })
    const { page } = await logIn(browser, street.url, 'jane', { path: '#/parked?view=messages' })
    await button(page, `Select all ${count} that match`).click()
    await button(page, 'Replay').first().click()
    await page.getByLabel('Messages a second').fill('10')
    await page.getByRole('dialog').getByRole('button', { name: 'Replay', exact: true }).click()
    await waitForBar(page, 'The replay has started')
    await page.close()

    const handled = async () => {
      const answer = await street.list('/replays').catch(() => [])
      return (answer[0]?.['counts'] as { handled: number } | undefined)?.handled ?? 0
    }
    let killed = 0
    for (const after of [20, 80]) {
      await waitFor(async () => (await handled()) >= after, `${after} to be handled`, 120_000)
      await waitFor(
        async () => {
          const running = await findFunctions(street, /replay/i, true)
          killed += running.filter((pid) => kill(pid)).length
          return running.length > 0
        },
        'a step to run',
        60_000,
      )
      expect(await handled()).toBeLessThan(count)
      for (const pid of await findFunctions(street, /api$/i, false)) killed += kill(pid) ? 1 : 0
    }
    expect(killed).toBeGreaterThanOrEqual(3)
    await waitFor(async () => (await handled()) === count, 'the replay to complete', 200_000)

    const { page: later } = await logIn(browser, street.url, 'mark', { path: '#/replays' })
    await later.getByText('done', { exact: true }).waitFor({ timeout: 30_000 })
    const [row = []] = await cells(later, 'Replays')
    expect(row.slice(5, 9)).toEqual([String(count), '0', '0', '0'])
    await goTo(later, 'Parked')
    await later.getByRole('heading', { name: 'Nothing is parked' }).waitFor()
    const { counts } = (await street.get('/campaigns/12')) as unknown as { counts: readonly { count: number }[] }
    expect(counts.reduce((sum, one) => sum + one.count, 0)).toBe(count)
    expect(new Set((await street.list('/cdrs')).map((one) => one['call_ref'])).size).toBe(count)
  },
)

test('messages that are parked while the read model is away appear once each when it is back', async () => {
  const street = await useStreetProcess({ fail: ['agents-status=422'] })
  const model = (await street.processes()).find(({ cwd }) => cwd === join(street.folder, 'model'))
  const title = await readFile(`/proc/${model?.pid}/cmdline`, 'utf8')
  const port = Number(/:(\d+)/.exec(title)?.[1])
  const { page } = await logIn(browser, street.url, 'jane', { path: '#/parked?view=messages' })
  await page.getByRole('heading', { name: 'Nothing is parked' }).waitFor()
  expect(kill(model?.pid ?? 0)).toBe(true)
  await street.publish(
    Array.from({ length: 20 }, (_, n) => [
      `agents:${n}`,
      { type: 'status', payload: { ref: String(n), status: 'busy' } },
    ]),
  )
  // The console reports that it cannot read the data.
  await page.locator('.lost, .problem').filter({ hasText: /\S/ }).first().waitFor({ timeout: 30_000 })
  await new Promise((resolve) => setTimeout(resolve, 5_000))
  const back = await startRedisServer({ port, dataDir: join(street.folder, 'model') })
  onTestFinished(() => back.stop())
  expect(back.port).toBe(port)
  await street.waitForParked(20)
  await button(page, 'Select all 20 that match').waitFor({ timeout: 60_000 })
  expect(await rows(page, 'Parked messages').count()).toBe(20)
  expect((await street.parkedSubjects()).toSorted()).toEqual(Array.from({ length: 20 }, (_, n) => String(n)).toSorted())
  await street.restart()
  await page.reload()
  await button(page, 'Select all 20 that match').click()
  await replay(page, 'Replay 20 messages?')
  await waitForBar(page, 'The replay has started')
  await street.waitForParked(0)
  expect(await street.list('/agents')).toHaveLength(20)
})

test('3,000 messages that SQS itself moved to a dead-letter queue appear once each when an operator fetches them', async () => {
  const [count, queue] = [3_000, 'enigma-agents-status.fifo']
  const street = await useStreetProcess()
  await street.stop()
  // The same queues without the functions: the test receives each message and does not delete it.
  const server = await startSqsServer({ dataDir: join(street.folder, 'sqs') })
  const { sqs, urlOf, set } = useSdk(server.endpoint)
  const url = await urlOf(queue)
  const { Attributes = {} } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['RedrivePolicy', 'VisibilityTimeout'] }),
  )
  const { RedrivePolicy = '', VisibilityTimeout = '' } = Attributes
  const { deadLetterTargetArn } = JSON.parse(RedrivePolicy) as { deadLetterTargetArn: string }
  await set(url, { VisibilityTimeout: '0', RedrivePolicy: JSON.stringify({ deadLetterTargetArn, maxReceiveCount: 1 }) })
  for (let at = 0; at < count; at += 10)
    await sqs.send(
      new SendMessageBatchCommand({
        QueueUrl: url,
        Entries: Array.from({ length: 10 }, (_, n) => ({
          Id: String(n),
          MessageBody: formatEvent(notification(`a${at + n}`, at + n)),
          MessageGroupId: String((at + n) % 64),
          MessageDeduplicationId: String(at + n),
        })),
      }),
    )
  const dead = await urlOf(queue.replace('.fifo', '-dlq.fifo'))
  const waiting = async () => {
    const { Attributes: own = {} } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: dead, AttributeNames: ['ApproximateNumberOfMessages'] }),
    )
    return Number(own['ApproximateNumberOfMessages'])
  }
  for (let left = count; left > 0; left = count - (await waiting()))
    for (let requests = 0; requests < 200; requests++)
      await sqs.send(new ReceiveMessageCommand({ QueueUrl: url, MaxNumberOfMessages: 10, WaitTimeSeconds: 0 }))
  await set(url, { VisibilityTimeout, RedrivePolicy })
  await server.stop()

  await street.restart()
  const { page } = await logIn(browser, street.url, 'jane', { path: '#/parked?view=messages' })
  await button(page, 'Fetch dead letters').click()
  await waitForBar(page, 'The dead-letter queues are being drained')
  await button(page, 'Select all 3,000 that match').waitFor({ timeout: 120_000 })
  const ids = (await street.list('/parked')).map((one) => String((one['notification_ids'] as readonly string[])[0]))
  expect([ids.length, new Set(ids).size]).toEqual([count, count])
  await button(page, 'Causes').click()
  await rows(page, 'Causes').first().waitFor()
  expect((await cells(page, 'Causes')).map((all) => all.slice(0, 3))).toEqual([
    ['3,000', 'moved by SQS after # deliveries', 'agents-status'],
  ])
})
