import { SendMessageCommand } from '@aws-sdk/client-sqs'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { Commit, LogLine } from '../../src/adapter/index.ts'
import { formatEvent } from '../../src/protocol/index.ts'
import { agentCall, agentStatus, createStore, relayAlive } from '../../src/store/index.ts'
import { notification } from '../adapter/factories.ts'
import { BASE_MS, toEvent } from '../store/events.ts'
import { useEnv, useFunctionEnv } from '../support/env.ts'
import { ROUTES } from '../support/routes.ts'
import { useSqs } from '../support/sqs.ts'
import { useStore } from '../support/store.ts'

/** Dead-letter queues, and a drain whose read model the test controls. */
async function useDrain() {
  const sqs = await useSqs()
  useEnv({
    AWS_ENDPOINT_URL_SQS: sqs.endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  })
  vi.resetModules()
  const { drain } = await import('../../src/lambda/replay-function.ts')
  const parked: string[] = []
  const lines: LogLine[] = []
  const put = (route: string, n: number) =>
    sqs.sqs.send(
      new SendMessageCommand({
        QueueUrl: sqs.url(route).replace(/\.fifo$/, '-dlq.fifo'),
        MessageBody: formatEvent(notification('A', n)),
        MessageGroupId: `g${n}`,
        MessageDeduplicationId: `d${n}`,
      }),
    )
  const run = (own: Partial<Parameters<typeof drain>[0]> = {}) =>
    drain({
      prefix: 'enigma-',
      routes: ROUTES,
      commit: async (batch: Commit<never>) => void parked.push(...batch.parked.map(({ key = '' }) => key)),
      ping: async () => undefined,
      recall: async () => new Map(),
      limitMs: 15_000,
      log: (line) => void lines.push(line),
      ...own,
    })
  return { sqs, put, run, parked, lines }
}

test(
  'G7: only the dead letter that the read model refuses is not parked, and it is logged once',
  { timeout: 30_000 },
  async () => {
    const { put, run, parked, lines } = await useDrain()
    for (let n = 0; n < 8; n++) await put('agents-status', n)
    const bad = 'main/p/7/3'
    const commit = async (batch: Commit<never>) => {
      const keys = batch.parked.map(({ key = '' }) => key)
      if (keys.includes(bad)) throw new Error('refused')
      parked.push(...keys)
    }
    expect(await run({ commit })).toBe(7)
    expect(parked.toSorted()).toEqual([0, 1, 2, 4, 5, 6, 7].map((n) => `main/p/7/${n}`))
    expect(lines).toMatchObject([{ code: 'functions.drain.failed', queue: 'enigma-agents-status-dlq.fifo' }])
  },
)

test(
  'a drain ends in time, whatever the queues hold, and the next one begins with another queue',
  { timeout: 30_000 },
  async () => {
    const { put, run, parked } = await useDrain()
    for (const [n, { name }] of ROUTES.all.entries()) await put(name, n)
    // The clock advances four seconds at each reading.
    const clock = (startMs: number) => {
      let nowMs = startMs
      return () => (nowMs += 4_000)
    }
    const first = await run({ now: clock(0) })
    expect(first).toBeLessThan(ROUTES.all.length / 2)
    parked.length = 0
    const half = Math.floor(ROUTES.all.length / 2)
    await run({ now: clock(half * 300_000) })
    expect(parked.length).toBeGreaterThan(0)
    expect(parked.filter((key) => Number(key.split('/').at(-1)) < half)).toEqual([])
  },
)

test('while the read model is unavailable, no dead letter leaves its queue', async () => {
  const { put, run, parked, lines } = await useDrain()
  await put('other', 1)
  expect(await run({ ping: () => Promise.reject(new Error('away')) })).toBeUndefined()
  expect(lines).toMatchObject([{ code: 'functions.drain.failed', queue: 'all' }])
  expect(await run()).toBe(1)
  expect(parked).toEqual(['main/p/7/1'])
})

test(
  'each drain reports the metrics of the alarms: parked entries, those that expire soon, and calls without a CDR',
  // Five drains of all queues take four seconds each on an idle machine.
  { timeout: 60_000 },
  async () => {
    const [sqs, { proxy, store }] = [await useSqs(), await useStore({ expiries: { parked: 24 * 3_600 } })]
    useFunctionEnv(proxy, sqs, {
      ENIGMA_QUEUE_PREFIX: 'enigma-',
      ENIGMA_PARKED_DAYS: '1',
      AWS_LAMBDA_FUNCTION_NAME: 'acme-relay-replay',
    })
    // On Lambda, the function handles unhandled rejections itself.
    const listeners = process.rawListeners('unhandledRejection') as NodeJS.UnhandledRejectionListener[]
    vi.resetModules()
    const { handler } = await import('../../src/lambda/replay-function.ts')
    process.removeAllListeners('unhandledRejection')
    for (const listener of listeners) process.on('unhandledRejection', listener)
    const lines: string[] = []
    const spy = vi.spyOn(process.stdout, 'write').mockImplementation((text) => lines.push(String(text)) > 0)
    onTestFinished(() => spy.mockRestore())
    const report = async () => {
      lines.length = 0
      await handler({ source: 'aws.events' })
      const metrics = lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((line) => '_aws' in line)
      return metrics.map(({ _aws: _, ...rest }) => rest)
    }
    const counted = async () => (await report()).filter((line) => !('MissingNow' in line))
    // Zero is reported, too, because it ends an alarm.
    expect(await counted()).toEqual([{ FunctionName: 'acme-relay-replay', ParkedNow: 0 }])
    const about = {
      route: 'agents-status',
      reason: '422',
      attempts: 1,
      eventSourceARN: 'arn:x:enigma-agents-status.fifo',
    }
    const failing = (n: number) => ({
      ...about,
      key: `k${n}`,
      notification: notification('1002', n),
      messageId: `m${n}`,
    })
    await store.commit({ effects: [], done: new Map(), parked: [failing(1), failing(2)] })
    expect(await counted()).toEqual([{ FunctionName: 'acme-relay-replay', ParkedNow: 2 }])
    const earlier = createStore({ url: proxy.url, token: 'test-token', now: () => Date.now() - 13 * 3_600_000 })
    await earlier.commit({ effects: [], done: new Map(), parked: [failing(3)] })
    expect(await counted()).toEqual([
      { FunctionName: 'acme-relay-replay', ParkedNow: 3 },
      { FunctionName: 'acme-relay-replay', Expiring: 1 },
    ])
    // A call that its agent left an hour ago, and whose CDR has not come.
    const relay = { relay: 'r1', sources: ['main'], lists: ['enigma:notifications:campaigns'], started: '' }
    const alive = (timeMs: number) =>
      relayAlive(toEvent('relay', 'alive', 'r1', relay, 0, { timeMs, sequence: String(timeMs), transport: 'relay' }))
    const handed = [
      agentCall(toEvent('agents', 'call', '1002', { call_ref: '7' }, 1)),
      agentStatus(toEvent('agents', 'status', '1002', { status: 'wrapup', campaign_ref: '7' }, 2)),
    ]
    await earlier.commit({ effects: [alive(BASE_MS), ...handed], done: new Map() })
    await store.commit({ effects: [alive(Date.now() - 1_000)], done: new Map() })
    const ofMissing = async () => (await report()).filter((line) => 'Missing' in line || 'MissingNow' in line)
    const FunctionName = 'acme-relay-replay'
    expect(await ofMissing()).toEqual([
      { FunctionName, Missing: 1 },
      { FunctionName, MissingNow: 1 },
    ])
    expect(await ofMissing()).toEqual([{ FunctionName, MissingNow: 1 }])
  },
)
