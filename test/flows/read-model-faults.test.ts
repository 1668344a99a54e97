import { parseDocument } from '../../src/store/document.ts'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'redis'
import { expect, onTestFinished, test } from 'vitest'
import type { LambdaHandler, LambdaRecord } from '../../src/local/lambda/lambda-trigger.ts'
import { formatPacket, readBody } from '../../src/protocol/index.ts'
import { startReadModel, type UpstashMode } from '../soak/read-model.ts'
import { loadHandlers } from '../support/handlers.ts'
import { CAMPAIGNS } from '../support/load.ts'
import { useProxy } from '../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useFolder, useRelay, waitFor } from '../support/relay.ts'
import { useSqs } from '../support/sqs.ts'
import { useStore } from '../support/store.ts'
import { useTrigger } from '../support/triggers.ts'

const ROUTES = ['agents-status', 'agents-call', 'campaigns-cdr'] as const
const MODES: readonly UpstashMode[] = ['down', 'slow', '429', '500', 'lose', 'hang']
const FAULT_MS = 1_500
const AGENTS = 20
/** On a slow machine, half a minute may pass before a redelivered call is handled. */
const NEVER_STALE_MS = 3_600_000

/** Internal keys of the read model: finished parts of a message, CDRs that arrived before their call, and the times of hourly work. */
const OWN_KEYS = /^enigma:(?:(?:done|call):|(?:\w+_heard|upkeep|quarters|changes)$)/
const OWN_FIELDS = /^(?:registered|looked|x:.*|call_cdrs|about)$/

/** Splits a text of the read model into parts, in an order that does not depend on their arrival. */
function toParts(key: string, text: string): unknown {
  if (key.startsWith('enigma:cdr:')) {
    // The second part is the delay of the write.
    return text.split('\u001e').map((entry) => entry.split('\u001f').toSpliced(1, 1))
  }
  if (!text.includes('\u001d')) return text.split('\u001e').toSorted()
  return [...parseDocument(text)].filter(([field]) => !OWN_FIELDS.test(field)).toSorted(([a], [b]) => (a < b ? -1 : 1))
}

/** Reads all keys of a read model in alphabetical order, without its internal keys. */
async function dump(url: string): Promise<Record<string, unknown>> {
  const client = createClient({ url, RESP: 2 })
  await client.connect()
  try {
    const keys = (await client.keys('*')).filter((key) => !OWN_KEYS.test(key)).toSorted()
    return Object.fromEntries(
      await Promise.all(
        keys.map(async (key) => {
          const type = await client.type(key)
          if (type === 'string') return [key, toParts(key, (await client.get(key)) ?? '')]
          if (type === 'hash')
            return [
              key,
              Object.entries(await client.hGetAll(key))
                .filter(([field]) => !OWN_FIELDS.test(field))
                // The place of an index entry depends on the order of arrival. Its kind and its campaign do not.
                .flatMap(([field, value]) =>
                  (value.match(field.startsWith('h') ? /.{1,16}/g : /.{1,14}/g) ?? []).map(
                    (entry) => `${field.replace(/^(.)[^|]*/, '$1')} ${entry}`,
                  ),
                )
                .toSorted(),
            ]
          if (type === 'list') return [key, (await client.lRange(key, 0, -1)).toSorted()]
          return [key, await client.zRangeWithScores(key, 0, -1)]
        }),
      ),
    )
  } finally {
    client.destroy()
  }
}

test(
  'G4: with an Upstash that is down, slow, throttling, failing, hanging or losing answers, each effect is there once, never old over new',
  { timeout: 90_000 },
  async () => {
    const [redis, sqs, model] = [
      await useRedisServer(),
      await useSqs(),
      await startReadModel(1, (stop) => onTestFinished(stop)),
    ]
    const client = await useRedisClient(redis.url)
    await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [CAMPAIGNS] })
    const parked: string[] = []
    const { sqs: sdk } = sqs
    const { ChangeMessageVisibilityCommand } = await import('@aws-sdk/client-sqs')
    const handlers = await loadHandlers({
      store: model.store,
      maxAgeMs: NEVER_STALE_MS,
      park: ({ reason }) => parked.push(reason),
      postpone: async ({ receiptHandle, eventSourceARN }, VisibilityTimeout) => {
        const route = eventSourceARN.replace(/^.*:enigma-|\.fifo$/g, '')
        await sdk.send(
          new ChangeMessageVisibilityCommand({
            QueueUrl: sqs.url(route),
            ReceiptHandle: receiptHandle,
            VisibilityTimeout,
          }),
        )
      },
    })
    const records = new Map<string, LambdaRecord>()
    const done = new Set<string>()
    let failures = 0
    for (const route of ROUTES) {
      await useTrigger(sqs, route, handlers.get(`enigma-${route}.fifo`) as LambdaHandler, {
        timeoutMs: 10_000,
        onInvocation: (invocation) => {
          failures += invocation.failed.size
          for (const record of invocation.records) {
            records.set(record.messageId, record)
            if (!invocation.failed.has(record.messageId)) done.add(record.messageId)
          }
        },
      })
    }

    let n = 0
    const write = async (rounds: number) => {
      for (let round = 0; round < rounds; round++, n++) {
        const agent = String(1_000 + (n % AGENTS))
        const status = ['available', 'busy', 'wrapup'][Math.floor(n / AGENTS) % 3]
        await client.publish(
          `enigma:notifications:agents:${agent}`,
          formatPacket({ type: 'status', payload: { ref: agent, status, campaign_ref: '7', n } }),
        )
        if (n % 5 === 0)
          await client.publish(
            `enigma:notifications:agents:${agent}`,
            formatPacket({
              type: 'call',
              payload: { ref: agent, call_ref: String(n), number: '27820000001', campaign_ref: '7' },
            }),
          )
        await client.lPush(
          CAMPAIGNS,
          formatPacket({
            type: 'cdr',
            payload: {
              ref: '7',
              call_ref: String(n),
              dialed_at: Math.floor(Date.now() / 1_000),
              extension: agent,
              end_reason: 'hungup',
            },
          }),
        )
      }
    }
    for (const mode of MODES) {
      model.state.mode = mode
      const endMs = performance.now() + FAULT_MS
      // A slow machine writes less in the same time, so at least two rounds are written.
      for (let round = 0; performance.now() < endMs || round < 2; round++) {
        await write(10)
        await sleep(50)
      }
      model.state.mode = 'well'
      await sleep(300)
    }
    const idsOf = async () => {
      const bodies = await Promise.all([...done].map((id) => records.get(id)?.body ?? '').map((body) => readBody(body)))
      return new Set(bodies.flat().map(({ id }) => id))
    }
    const expected = 2 * n + Math.ceil(n / 5)
    await waitFor(async () => (await idsOf()).size === expected, 'all to be done', 40_000)
    expect([failures > 10, parked]).toEqual([true, []])

    // The same notifications without faults and in reverse order: last message first.
    const calm = await useStore()
    // Each database derives the ids of CDRs from its own secret.
    const [former, own] = [await useRedisClient(model.redisUrl), await useRedisClient(calm.redis.url)]
    await own.set('enigma:cdr_secret', (await former.get('enigma:cdr_secret')) ?? '')
    const calmHandlers = await loadHandlers({
      store: calm.store,
      park: () => Promise.reject(new Error('parked')),
      postpone: () => Promise.resolve(),
      maxAgeMs: NEVER_STALE_MS,
    })
    for (const record of [...records.values()].filter(({ messageId }) => done.has(messageId)).toReversed()) {
      const handler = calmHandlers.get(record.eventSourceARN.replace(/^.*:/, ''))
      expect(await handler?.({ Records: [record] })).toEqual({ batchItemFailures: [] })
    }
    const counted = async (store: typeof calm.store) =>
      (await store.read.campaign('7'))?.counts.reduce((sum, { count }) => sum + count, 0)
    expect([await counted(model.store), await counted(calm.store)]).toEqual([n, n])
    const stateOf = (dumped: Record<string, unknown>) =>
      Object.fromEntries(Object.entries(dumped).map(([key, value]) => [key, withoutJudgement(value)]))
    const [faulty, well] = [stateOf(await dump(model.redisUrl)), stateOf(await dump(calm.redis.url))]
    const differing = [...new Set([...Object.keys(faulty), ...Object.keys(well)])].filter(
      (key) => JSON.stringify(faulty[key]) !== JSON.stringify(well[key]),
    )
    expect(differing.map((key) => [key, faulty[key], well[key]])).toEqual([])
    expect(Object.keys(well).length).toBeGreaterThan(100)
  },
)

/** Removes fields that depend on the order of arrival: the start of a state, and the impossible changes. */
function withoutJudgement(value: unknown): unknown {
  if (!Array.isArray(value)) return value
  return (value as [string, string][])
    .filter((entry) => !Array.isArray(entry) || !/^[un]:/.test(entry[0]))
    .map((entry) => {
      if (!Array.isArray(entry) || !entry[0].startsWith('s:')) return entry
      const [status, , stamp] = entry[1].split('\u001f')
      return [entry[0], status, stamp]
    })
}

test(
  'G6: a call delayed by an SQS outage, or on a list without a relay, is recorded as stale and not shown; the next call is shown',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs, { store }, dataDir] = [
      await useRedisServer(),
      await useSqs(),
      await useStore(),
      await useFolder(),
    ]
    const client = await useRedisClient(redis.url)
    const front = await useProxy(Number(new URL(sqs.endpoint).port))
    const INBOUND = 'enigma:notifications:inbound'
    const call = (ref: string, call_ref: string) =>
      formatPacket({ type: 'call', payload: { ref, call_ref, number: '27820000001', contact_ref: 'k' } })
    const options = { redisUrl: redis.url, endpoint: `http://127.0.0.1:${front.port}`, lists: [INBOUND], dataDir }
    // This relay sees its list empty, and then stops.
    await (await useRelay(options)).stop()
    await client.lPush(INBOUND, call('2001', 'waited'))
    front.state.refuse = true
    front.cut()
    await sleep(1_200)
    await useRelay(options)
    await client.publish('enigma:notifications:agents:2002', call('2002', 'journalled'))
    await sleep(1_200)
    front.state.refuse = false
    // Here, a call is stale after one second instead of thirty.
    const handlers = await loadHandlers({
      store,
      park: () => Promise.reject(new Error('parked')),
      postpone: () => Promise.resolve(),
      maxAgeMs: 1_000,
    })
    for (const route of ['agents-call', 'inbound-call'])
      await useTrigger(sqs, route, handlers.get(`enigma-${route}.fifo`) as LambdaHandler)
    const calls = async (ref: string) =>
      (await store.read.agent(ref))?.calls.map(({ call_ref, stale }) => [call_ref, stale])
    await waitFor(
      async () => (await calls('2001'))?.length === 1 && (await calls('2002'))?.length === 1,
      'both to be recorded',
      20_000,
    )
    expect([await calls('2001'), await calls('2002')]).toEqual([[['waited', true]], [['journalled', true]]])
    expect([(await store.read.agent('2001'))?.call, (await store.read.agent('2002'))?.call]).toEqual([null, null])
    // The waiting time of an item is known to within a blocking move (3 s), so the relay must see the list empty just before.
    await client.lPush(INBOUND, call('2003', 'first'))
    await waitFor(async () => (await calls('2003'))?.length === 1, 'the first one to be recorded')
    let published = 0
    await waitFor(async () => {
      // On a machine that is busy a call may grow stale on its way: the next one pops up.
      const fresh = `fresh-${published++}`
      await client.publish('enigma:notifications:agents:2002', call('2002', fresh))
      await client.lPush(INBOUND, call('2001', fresh))
      await sleep(500)
      const shown = await Promise.all(
        ['2001', '2002'].map(async (ref) => (await store.read.agent(ref))?.call?.call_ref),
      )
      return shown.every((call_ref) => call_ref?.startsWith('fresh'))
    }, 'the new calls to pop up')
  },
)

test(
  'G3: with the clock set back by an hour between two runs, no id repeats and newer states win in the read model',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs, { store }, dataDir] = [
      await useRedisServer(),
      await useSqs(),
      await useStore(),
      await useFolder(),
    ]
    const client = await useRedisClient(redis.url)
    const handlers = await loadHandlers({
      store,
      park: () => Promise.reject(new Error('parked')),
      postpone: () => Promise.resolve(),
    })
    const ids: string[] = []
    await useTrigger(sqs, 'agents-status', handlers.get('enigma-agents-status.fifo') as LambdaHandler, {
      onInvocation: ({ records }) =>
        void Promise.all(records.map(({ body }) => readBody(body))).then((events) =>
          ids.push(...events.flat().map(({ id }) => id)),
        ),
    })
    const publish = async (status: string) => {
      for (let agent = 1_000; agent < 1_020; agent++)
        await client.publish(
          `enigma:notifications:agents:${agent}`,
          formatPacket({ type: 'status', payload: { ref: String(agent), status, campaign_ref: '7' } }),
        )
    }
    const shown = async () => new Set((await store.read.agents()).items.map(({ states }) => states[0]?.status))
    for (const [at, status] of ['available', 'busy', 'wrapup'].entries()) {
      const relay = await useRelay({
        redisUrl: redis.url,
        endpoint: sqs.endpoint,
        dataDir,
        now: () => Date.now() - at * 3_600_000,
      })
      await publish(status)
      await waitFor(() => ids.length === 20 * (at + 1), `${status} to be handled`)
      await waitFor(async () => (await shown()).size === 1, 'the read model')
      expect([...(await shown())]).toEqual([status])
      await relay.stop()
    }
    expect(new Set(ids).size).toBe(60)
  },
)
