import { SendMessageCommand } from '@aws-sdk/client-sqs'
import { expect, test, vi } from 'vitest'
import type { Commit, LogLine } from '../../src/adapter/index.ts'
import { formatEvent } from '../../src/protocol/index.ts'
import { notification } from '../adapter/factories.ts'
import { useEnv } from '../support/env.ts'
import { ROUTES } from '../support/routes.ts'
import { useSqs } from '../support/sqs.ts'

/** Dead-letter queues, and a drain whose read model a test plays. */
async function useDrain() {
  const sqs = await useSqs()
  useEnv({
    AWS_ENDPOINT_URL_SQS: sqs.endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  })
  vi.resetModules()
  const { drain } = await import('../../src/lambda/drain.ts')
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

test('G7: a dead letter that the read model refuses stays alone, and is logged once', { timeout: 30_000 }, async () => {
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
})

test(
  'a drain ends in time, whatever the queues hold, and the next one begins with another queue',
  { timeout: 30_000 },
  async () => {
    const { put, run, parked } = await useDrain()
    for (const [n, { name }] of ROUTES.all.entries()) await put(name, n)
    // Each look at the clock finds it four seconds later.
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

test('while the read model is away no dead letter is taken out of its queue', async () => {
  const { put, run, parked, lines } = await useDrain()
  await put('other', 1)
  expect(await run({ ping: () => Promise.reject(new Error('away')) })).toBeUndefined()
  expect(lines).toMatchObject([{ code: 'functions.drain.failed', queue: 'all' }])
  expect(await run()).toBe(1)
  expect(parked).toEqual(['main/p/7/1'])
})
