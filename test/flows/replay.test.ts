import { SendMessageBatchCommand, SendMessageCommand } from '@aws-sdk/client-sqs'
import { Hono } from 'hono'
import { expect, test, vi } from 'vitest'
import { event, fromSqs, record, type AdapterEnv } from '../../src/adapter/index.ts'
import { createApi } from '../../src/api/index.ts'
import type { LambdaHandler, LambdaRecord, ScheduledHandler } from '../../src/local/lambda/lambda-trigger.ts'
import {
  AgentStatus,
  Cdr,
  formatEvent,
  formatPacket,
  gzipBody,
  joinEvents,
  type Notification,
} from '../../src/protocol/index.ts'
import {
  agentStatus,
  cdr,
  claimEntries,
  createStore,
  noteSent,
  startReplay,
  stopReplay,
  type Effect,
  type ParkedPage,
  type Replay,
} from '../../src/store/index.ts'
import { notification } from '../adapter/factories.ts'
import { useEnv } from '../support/env.ts'
import { waitFor } from '../support/relay.ts'
import { routeOf } from '../support/routes.ts'
import { useSqs } from '../support/sqs.ts'
import { useStore } from '../support/store.ts'
import { useTrigger } from '../support/triggers.ts'

const [OPERATOR, READER] = ['o'.repeat(40), 'r'.repeat(40)]
const ROUTE = 'agents-status'

type Run = { readonly id: string; readonly n: number; readonly reference: string; readonly replay: string | undefined }

/** Keeps the replayed messages that reach `handler`. `numbers` are theirs, in the order in which SQS received them. */
function useReceived(handler: LambdaHandler) {
  const received: LambdaRecord[] = []
  const passOn: LambdaHandler = (batch, context) => {
    received.push(...batch.Records.filter(({ messageAttributes }) => messageAttributes['replay'] !== undefined))
    return handler(batch, context)
  }
  const numbers = () =>
    received
      .toSorted((a, b) => String(a.attributes['SequenceNumber']).localeCompare(String(b.attributes['SequenceNumber'])))
      .map(({ body }) => Number((JSON.parse(body) as Notification).id.split('/').at(-1)))
  return { received, passOn, numbers }
}

/** Queues, a function of agents/status that a test can make fail, the function of replays, and the API. */
async function useReplays() {
  const [sqs, model] = [await useSqs(), await useStore()]
  useEnv({
    UPSTASH_REDIS_REST_URL: model.proxy.url,
    UPSTASH_REDIS_REST_TOKEN: 'test-token',
    ENIGMA_QUEUE_PREFIX: 'enigma-',
    AWS_ENDPOINT_URL_SQS: sqs.endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  })
  vi.resetModules()
  const { wire } = await import('../../src/lambda/wiring.ts')
  const { sendReplayStep } = await import('../../src/lambda/sqs-queues.ts')
  const { handler: replay } = await import('../../src/lambda/replay-function.ts')
  const state = { answer: (_run: Run): number => 204, isAway: false }
  const runs: Run[] = []
  const bodies: Uint8Array[] = []
  const app = new Hono<AdapterEnv<Effect>>().post('/agents/status/:ref?', async (c) => {
    bodies.push(new Uint8Array(await c.req.raw.clone().arrayBuffer()))
    const status = await event(c)
    const { id, reference = '', replay: job } = status
    const run = { id, n: Number(id.split('/').at(-1)), reference, replay: job }
    runs.push(run)
    const answer = state.answer(run)
    if (answer !== 204) return c.text(`fails with ${answer}`, answer as 422)
    record(c, agentStatus(await event(c, AgentStatus)))
    return c.body(null, 204)
  })
  const replayed = useReceived(fromSqs(app, { ...wire(routeOf('agents', 'status')), log: () => undefined }))
  await useTrigger(sqs, ROUTE, replayed.passOn)
  const { read, commit } = model.store
  const api = createApi({
    read,
    tokens: `jane:operate:${OPERATOR}\nbob:read:${READER}`,
    replay: {
      commit,
      sendStep: async (job) => {
        if (state.isAway) throw new Error('SQS is away')
        await sendReplayStep('enigma-', job)
      },
      sendCommand: async () => {
        throw new Error('nothing here is of the relay')
      },
      drain: () => sendReplayStep('enigma-', 'drain'),
    },
  })
  const ask = async (method: string, path: string, body?: unknown, token = OPERATOR) => {
    const response = await api.request(path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return {
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as Replay & { detail: string },
    }
  }
  const sendAll = async (notifications: readonly Notification[], queueUrl = sqs.url(ROUTE)) => {
    for (let at = 0; at < notifications.length; at += 10)
      await sqs.sqs.send(
        new SendMessageBatchCommand({
          QueueUrl: queueUrl,
          Entries: notifications.slice(at, at + 10).map((one, index) => ({
            Id: String(index),
            MessageBody: formatEvent(one),
            MessageGroupId: one.subject ?? 'none',
            MessageDeduplicationId: one.id,
          })),
        }),
      )
  }
  const parked = async (filter: Parameters<typeof read.parked>[0] = {}) => {
    const found: ParkedPage['items'] = []
    for (let cursor: string | undefined; ;) {
      const page = await read.parked({ ...filter, limit: 500, cursor })
      found.push(...page.items)
      if (page.next === null) return found.toReversed()
      cursor = page.next
    }
  }
  return {
    ...model,
    sqs,
    state,
    runs,
    bodies,
    replayed,
    ask,
    sendAll,
    parked,
    replay,
    /** Starts the function that runs the steps of replays and drains dead letters. */
    start: () => useTrigger(sqs, 'relay-replay', replay),
    drain: () => (replay as ScheduledHandler)({ source: 'aws.events' }),
    /** Starts a replay and waits for its end. */
    replayAll: async (body: object): Promise<Replay> => {
      const { status, body: job } = await ask('POST', '/replays', body)
      expect([status, job.detail]).toEqual([202, undefined])
      let last = job
      await waitFor(
        async () => {
          last = (await ask('GET', `/replays/${job.id}`)).body
          return last.state === 'done'
        },
        'the replay to end',
        30_000,
      )
      return last
    },
  }
}

const status = (agent: string, n: number, own: Partial<Notification> = {}) =>
  notification(agent, n, { payload: { ref: agent, status: 'busy', number: '27821234567' }, ...own })

test(
  'a replay sends exactly the selected entries, oldest first; the others keep their order',
  { timeout: 60_000 },
  async () => {
    const { state, runs, replayed, sendAll, parked, replayAll, start, store, ask } = await useReplays()
    state.answer = () => 422
    await sendAll(Array.from({ length: 60 }, (_, n) => status(`a${n % 3}`, n)))
    await waitFor(async () => (await parked()).length === 60, 'all to be parked', 30_000)
    await start()
    state.answer = () => 204
    runs.length = 0
    const before = await parked()
    const selected = [3, 12, 15, 30, 50].flatMap((at) => before[at] ?? [])
    const chosen = selected.map(({ id }) => id)
    // Two at a time: of more, those of one reference could follow those of others.
    const job = await replayAll({ ids: [...chosen.toReversed(), 'f'.repeat(20)], rate: 2 })
    expect(job).toMatchObject({
      operator: 'jane',
      filter: null,
      counts: { waiting: 0, sent: 0, handled: 5, failed_again: 0, skipped: 1 },
    })
    expect(runs.map(({ replay }) => replay)).toEqual(runs.map(() => job.id))
    expect(runs).toHaveLength(5)
    expect(replayed.numbers()).toEqual(selected.map(({ notification_ids: [id = ''] }) => Number(id.split('/').at(-1))))
    expect((await parked()).map(({ id }) => id)).toEqual(
      before.map(({ id }) => id).filter((id) => !chosen.includes(id)),
    )
    // A filter selects every entry that matches, in the order of parking per reference, and none that is parked later.
    runs.length = 0
    state.answer = ({ n }) => (n === 99 ? 422 : 204)
    const { body: all } = await ask('POST', '/replays', {
      filter: { route: ROUTE, reason: 'FAILS with 422', status: 422 },
      rate: 1_000,
    })
    await sendAll([status('a9', 99)])
    await waitFor(async () => (await ask('GET', `/replays/${all.id}`)).body.state === 'done', 'the replay to end')
    expect((await ask('GET', `/replays/${all.id}`)).body.counts).toMatchObject({
      handled: 55,
      failed_again: 0,
      skipped: 0,
    })
    await waitFor(async () => (await parked()).length === 1, 'the late one to be parked')
    for (const agent of ['a0', 'a1', 'a2']) {
      const order = runs.filter(({ reference }) => reference === agent).map(({ n }) => n)
      expect(order).toEqual(order.toSorted((a, b) => a - b))
    }
    expect((await parked()).map(({ notification_ids: [id] }) => id)).toEqual(['main/p/7/99'])
    expect(await store.read.parked({ limit: 1 })).toMatchObject({ functions: { total: 1 } })
  },
)

test(
  'an entry that fails again has its new reason; after the fix a replay clears it, even within SQS’ five-minute deduplication',
  { timeout: 60_000 },
  async () => {
    const { state, runs, sendAll, parked, replayAll, start, store } = await useReplays()
    state.answer = () => 422
    await sendAll([status('A', 1), status('B', 2)])
    await waitFor(async () => (await parked()).length === 2, 'both to be parked')
    await start()
    state.answer = ({ reference }) => (reference === 'A' ? 409 : 204)
    expect((await replayAll({ filter: {} })).counts).toMatchObject({ handled: 1, failed_again: 1 })
    const [entry] = await parked()
    expect(entry).toMatchObject({ subject: 'A', reason: '409: fails with 409', replay: null })
    expect((await store.read.parkedEntry(entry?.id ?? ''))?.failed_attempts.map(({ status: one }) => one)).toEqual([
      422, 409,
    ])
    state.answer = () => 204
    expect((await replayAll({ ids: [entry?.id] })).counts).toMatchObject({ handled: 1, failed_again: 0 })
    expect(await parked()).toEqual([])
    expect(runs.map(({ reference }) => reference).toSorted()).toEqual(['A', 'A', 'A', 'B', 'B'])
    expect((await store.read.agent('A'))?.states).toMatchObject([{ status: 'busy' }])
  },
)

test(
  'G5: a replay sends the same bytes again, even if they are not UTF-8 or the message cannot be read',
  { timeout: 60_000 },
  async () => {
    const { state, bodies, replayed, sqs, sendAll, parked, replayAll, start } = await useReplays()
    const given = [
      status('A', 1, {
        data: formatPacket({ type: 'status', payload: { status: '😀 \u2028 12345678901234567890.10' } }),
      }),
      status('B', 2, { data: Uint8Array.of(0xff, 0, 0xfe), datacontenttype: 'application/octet-stream' }),
      status('C', 3, { data: formatPacket({ type: 'status', payload: { status: 'x'.repeat(400_000) } }) }),
    ]
    state.answer = () => 422
    await sendAll(given.slice(0, 2))
    const attributes = { 'content-encoding': { DataType: 'String', StringValue: 'gzip' } }
    for (const [n, MessageBody] of [await gzipBody(formatEvent(given[2] as Notification)), 'bm90IGd6aXA='].entries())
      await sqs.sqs.send(
        new SendMessageCommand({
          QueueUrl: sqs.url(ROUTE),
          MessageBody,
          MessageAttributes: attributes,
          MessageGroupId: 'C',
          MessageDeduplicationId: `g${n}`,
        }),
      )
    await waitFor(async () => (await parked()).length === 4, 'all to be parked')
    const before = bodies.splice(0)
    await start()
    const ids = (await parked()).map(({ id }) => id)
    expect((await replayAll({ filter: {} })).counts).toMatchObject({ handled: 0, failed_again: 4 })
    expect(bodies.map((one) => Buffer.from(one).toString('hex')).toSorted()).toEqual(
      before.map((one) => Buffer.from(one).toString('hex')).toSorted(),
    )
    expect((await parked()).map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
    expect((await parked()).find(({ type }) => type === null)?.reason).toMatch(/gzip/)
    expect(replayed.received.filter(({ body }) => body === 'bm90IGd6aXA=')).toMatchObject([
      { messageAttributes: { 'content-encoding': { stringValue: 'gzip' } }, attributes: { MessageGroupId: 'C' } },
    ])
  },
)

test(
  'two replays of the same entries send each entry once; a stopped replay leaves the rest parked',
  { timeout: 60_000 },
  async () => {
    const { state, runs, sendAll, parked, ask, start } = await useReplays()
    state.answer = () => 422
    await sendAll(Array.from({ length: 30 }, (_, n) => status(`a${n}`, n)))
    await waitFor(async () => (await parked()).length === 30, 'all to be parked')
    state.answer = () => 204
    runs.length = 0
    const jobs = [await ask('POST', '/replays', { filter: {} }), await ask('POST', '/replays', { filter: {} })]
    await start()
    const results: Replay[] = []
    await waitFor(async () => {
      results.splice(
        0,
        2,
        ...(await Promise.all(jobs.map(async ({ body }) => (await ask('GET', `/replays/${body.id}`)).body))),
      )
      return results.every((one) => one.state === 'done')
    }, 'both to end')
    const sum = (name: 'handled' | 'skipped') => results.reduce((total, { counts }) => total + counts[name], 0)
    // The second replay does not find entries that the first has already finished.
    expect([sum('handled'), sum('skipped') <= 30, runs.length]).toEqual([30, true, 30])
    expect((await ask('GET', '/replays')).body).toMatchObject({
      items: [{ id: jobs[1]?.body.id }, { id: jobs[0]?.body.id }],
      next: null,
    })

    state.answer = () => 422
    await sendAll(Array.from({ length: 20 }, (_, n) => status(`b${n}`, 100 + n)))
    await waitFor(async () => (await parked()).length === 20, 'all to be parked again')
    state.answer = () => 204
    const slow = await ask('POST', '/replays', { filter: {}, rate: 2 })
    await waitFor(async () => (await parked()).length < 20, 'the first to be sent')
    expect((await ask('POST', `/replays/${slow.body.id}/stop`)).body.state).toBe('stopped')
    await waitFor(
      async () => (await ask('GET', `/replays/${slow.body.id}`)).body.counts.sent === 0,
      'what was sent to end',
    )
    const { counts } = (await ask('GET', `/replays/${slow.body.id}`)).body
    expect(counts.waiting).toBeGreaterThan(10)
    expect((await parked()).length).toBe(20 - counts.handled)
    expect((await parked()).every(({ replay }) => replay === null)).toBe(true)
  },
)

test(
  'G1, G4: a replay whose steps die at any point sends every entry, and each is handled once',
  { timeout: 60_000 },
  async () => {
    const { state, store, runs, sendAll, parked, ask } = await useReplays()
    const { runReplay } = await import('../../src/api/index.ts')
    const { sendParked } = await import('../../src/lambda/sqs-queues.ts')
    state.answer = () => 422
    await sendAll(Array.from({ length: 40 }, (_, n) => status(`a${n}`, n)))
    await waitFor(async () => (await parked()).length === 40, 'all to be parked')
    state.answer = () => 204
    runs.length = 0
    const { body: job } = await ask('POST', '/replays', { filter: {}, rate: 10 })
    // Each step dies before or after its nth operation.
    for (let dies = 1; (await ask('GET', `/replays/${job.id}`)).body.state === 'running' && dies < 80; dies++) {
      let left = dies % 7
      const mortal = <A extends unknown[], R>(run: (...given: A) => Promise<R>) => {
        return async (...given: A): Promise<R> => {
          if (left-- <= 0) throw new Error('killed before')
          const result = await run(...given)
          if (left-- <= 0) throw new Error('killed behind')
          return result
        }
      }
      await runReplay(job.id, undefined, {
        read: store.read,
        commit: mortal(store.commit),
        send: mortal(sendParked),
        limitMs: 1_000,
        sleep: async () => undefined,
        targetOf: async (route) => ({ queue: `enigma-${route}.fifo`, lanes: 64 }),
      }).catch(() => undefined)
    }
    await waitFor(async () => (await ask('GET', `/replays/${job.id}`)).body.state === 'done', 'the replay to end')
    expect((await ask('GET', `/replays/${job.id}`)).body.counts).toEqual({
      waiting: 0,
      sent: 0,
      handled: 40,
      failed_again: 0,
      skipped: 0,
    })
    expect(await parked()).toEqual([])
    // SQS discards a message that is sent again within five minutes as a copy.
    expect(runs.map(({ n }) => n).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, n) => n))
  },
)

test(
  'an entry that can never be sent fails with its reason, and blocks no other entry',
  { timeout: 60_000 },
  async () => {
    const { state, sqs, store, sendAll, parked, replayAll, ask, start } = await useReplays()
    state.answer = () => 422
    await sendAll([status('A', 1), status('B', 2)])
    await waitFor(async () => (await parked()).length === 2, 'both to be parked')
    // One entry whose route was removed, and one that is too large for any queue.
    const gone = { key: 'gone', notification: status('C', 3), eventSourceARN: 'arn:x:enigma-agents-former.fifo' }
    const random = Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))).toString('base64')
    const large = {
      key: 'large',
      notification: status('D', 4, {
        data: formatPacket({ type: 'status', payload: Array.from({ length: 16 }, (_, n) => random.slice(n)) }),
      }),
      eventSourceARN: sqs.url(ROUTE).replace(/^.*\//, 'arn:x:'),
    }
    await store.commit({
      effects: [],
      done: new Map(),
      parked: [gone, large].map((one, n) => ({ ...one, route: ROUTE, reason: '422', attempts: 1, messageId: `m${n}` })),
    })
    state.answer = () => 204
    await start()
    const job = await replayAll({ filter: {} })
    expect(job.counts).toMatchObject({ handled: 2, failed_again: 2, skipped: 0 })
    const left = await Promise.all((await parked()).map(({ id }) => store.read.parkedEntry(id)))
    expect(left.map((entry) => [entry?.subject, entry?.replay, entry?.failed_attempts.at(-1)?.reason])).toEqual([
      ['C', null, 'the queue enigma-agents-former.fifo no longer exists'],
      ['D', null, expect.stringMatching(/^SQS rejected it/)],
    ])
    // Neither is locked.
    expect((await ask('POST', '/replays', { filter: { route: ROUTE } })).status).toBe(202)
  },
)

test(
  'the schedule continues a replay whose step was lost; a stopped replay locks no entry',
  { timeout: 60_000 },
  async () => {
    const { state, store, proxy, sendAll, parked, ask, start, drain } = await useReplays()
    state.answer = () => 422
    await sendAll(Array.from({ length: 5 }, (_, n) => status(`a${n}`, n)))
    await waitFor(async () => (await parked()).length === 5, 'all to be parked')
    state.answer = () => 204
    const ids = (await parked()).map(({ id }) => id)
    const asked = { operator: 'jane', created_at: new Date().toISOString(), rate: 50, filter: null }
    // This replay claimed two entries, was stopped, and never reports their outcome.
    await store.commit({
      effects: [
        startReplay('lost', asked, ids.slice(0, 2)),
        claimEntries('lost', 2),
        noteSent('lost', '1'),
        stopReplay('lost'),
      ],
      done: new Map(),
    })
    await store.commit({ effects: [startReplay('recent', asked, ids.slice(4))], done: new Map() })
    const former = createStore({ url: proxy.url, token: 'test-token', now: () => Date.now() - 301_000 })
    await former.commit({
      // The second replay is driven by a relay.
      effects: [startReplay('forgotten', asked, ids), startReplay('of-relays', { ...asked, by: 'relay' }, ids)],
      done: new Map(),
    })
    await start()
    await drain()
    await waitFor(async () => (await ask('GET', '/replays/forgotten')).body.state === 'done', 'it to go on')
    expect((await ask('GET', '/replays/forgotten')).body.counts).toMatchObject({ handled: 5, skipped: 0 })
    // A recent replay may still have its step.
    expect((await ask('GET', '/replays/recent')).body.counts).toMatchObject({ waiting: 1 })
    expect((await ask('GET', '/replays/of-relays')).body).toMatchObject({ waits_for: 'relay', counts: { waiting: 5 } })
  },
)

test('a replay needs the role operate and a valid body, and is stopped when SQS is away', async () => {
  const { state, ask, sendAll, parked } = await useReplays()
  state.answer = () => 422
  await sendAll([status('A', 1)])
  await waitFor(async () => (await parked()).length === 1, 'it to be parked')
  for (const [body, detail] of [
    [{}, /needs one of ids, filter and cdrs/],
    [{ ids: ['x'], filter: {} }, /needs one of ids, filter and cdrs/],
    [{ ids: [] }, /^ids must not be empty/],
    [{ filter: { rout: 'x' } }, /^filter\.rout is unknown; the known members are from, source, route, /],
    [{ filter: 7 }, /^filter must be an object/],
    [{ filter: { route: 7 } }, /^filter\.route must be text/],
    [{ ids: 'x' }, /^ids must be a list/],
    [{ ids: [7] }, /^ids\.0 must be text/],
    [{ filter: { since: 'yesterday' } }, /^filter\.since is not a time/],
    [{ filter: {}, rate: 0 }, /^rate must be at least 1/],
    [{ filter: {}, rate: 1.5 }, /^rate must be a whole number/],
    [7, /must be a JSON object/],
    [[], /must be a JSON object/],
  ] as const) {
    const { status: code, body: answer } = await ask('POST', '/replays', body)
    expect([code, answer.detail]).toEqual([400, expect.stringMatching(detail)])
  }
  for (const path of ['/replays', '/replays/x/stop'])
    expect((await ask('POST', path, { filter: {} }, READER)).status).toBe(403)
  expect((await ask('GET', '/replays', undefined, READER)).status).toBe(200)
  state.isAway = true
  const { status: code, body } = await ask('POST', '/replays', { filter: {} })
  expect([code, body.detail]).toEqual([503, expect.stringContaining('Nothing was sent')])
  expect(await parked()).toMatchObject([{ replay: null }])
  expect((await ask('GET', '/replays')).body).toMatchObject({ items: [{ state: 'stopped' }] })
})

test(
  'G5: dead letters wait while the read model is away; then each unfinished notification is parked once, in order',
  { timeout: 60_000 },
  async () => {
    const { sqs, store, proxy, redis, sendAll, parked, drain, replayAll, start, runs } = await useReplays()
    const dead = sqs.url(ROUTE).replace(/\.fifo$/, '-dlq.fifo')
    await sendAll(
      Array.from({ length: 25 }, (_, n) => status('A', n)),
      dead,
    )
    const pack = [status('B', 30), status('B', 31), status('B', 32)]
    const send = (MessageBody: string, own: object = {}) =>
      sqs.sqs.send(
        new SendMessageCommand({
          QueueUrl: dead,
          MessageBody,
          MessageGroupId: 'B',
          MessageDeduplicationId: MessageBody.slice(0, 99),
          ...own,
        }),
      )
    const { MessageId = '' } = await send(joinEvents(pack.map(formatEvent)))
    await send('not json')
    const text = (StringValue: string) => ({ DataType: 'String', StringValue })
    // Parked as by functions of an earlier version.
    await send(formatEvent(status('C', 40)), {
      MessageAttributes: {
        reason: text('409: no'),
        status: text('409'),
        attempts: text('3'),
        messageGroupId: text('17'),
      },
    })
    await store.commit({ effects: [], done: new Map([[MessageId, ['main/p/7/31']]]) })
    const { port } = new URL(proxy.url)
    await proxy.stop()
    const lines: string[] = []
    const said = vi.spyOn(console, 'error').mockImplementation((line: string) => void lines.push(line))
    await drain()
    said.mockRestore()
    expect(lines.join()).toContain('functions.drain.failed')
    const { startUpstashProxy } = await import('../../src/local/upstash-proxy.ts')
    const back = await startUpstashProxy({ redisUrl: redis.url, token: 'test-token', port: Number(port) })
    try {
      await drain()
      expect(await parked()).toHaveLength(29)
      const entries = await parked()
      const ofA = entries.filter(({ subject }) => subject === 'A').map(({ notification_ids: [id] }) => id)
      expect(ofA).toEqual(Array.from({ length: 25 }, (_, n) => `main/p/7/${n}`))
      expect(entries.filter(({ subject }) => subject === 'B').map(({ notification_ids: [id] }) => id)).toEqual([
        'main/p/7/30',
        'main/p/7/32',
      ])
      expect(entries.find(({ subject }) => subject === 'A')).toMatchObject({
        reason: 'moved by SQS after 100 deliveries',
        attempts: 100,
        route: ROUTE,
      })
      expect(entries.find(({ subject }) => subject === 'C')).toMatchObject({
        reason: '409: no',
        status: 409,
        attempts: 3,
      })
      expect(entries.find(({ type }) => type === null)?.reason).toBe(
        'moved by SQS after 100 deliveries; the body is not JSON',
      )
      await start()
      expect((await replayAll({ filter: {} })).counts).toMatchObject({ handled: 28, failed_again: 1 })
      expect(runs.filter(({ reference }) => reference === 'A').map(({ n }) => n)).toEqual(
        Array.from({ length: 25 }, (_, n) => n),
      )
    } finally {
      await back.stop()
    }
  },
)

test(
  'a replay sends stored CDRs to their function again, oldest first, with the same bytes and ids',
  { timeout: 60_000 },
  async () => {
    const { sqs, store, state, bodies, ask, replayAll, start, sendAll, parked } = await useReplays()
    const { wire } = await import('../../src/lambda/wiring.ts')
    const seen: { id: string; replay: string | undefined; body: string }[] = []
    const app = new Hono<AdapterEnv<Effect>>().post('/campaigns/cdr/:ref?', async (c) => {
      const one = await event(c, Cdr)
      seen.push({ id: one.id, replay: one.replay, body: await c.req.raw.clone().text() })
      if (state.answer({ id: one.id, n: 0, reference: '', replay: one.replay }) !== 204) return c.text('away', 422)
      record(c, cdr(one))
      return c.body(null, 204)
    })
    const replayed = useReceived(fromSqs(app, { ...wire(routeOf('campaigns', 'cdr')), log: () => undefined }))
    await useTrigger(sqs, 'campaigns-cdr', replayed.passOn)
    await start()
    const nowMs = Date.now()
    const dialed = (n: number, own: object = {}) =>
      notification('7', n, {
        type: 'enigma.campaigns.cdr',
        id: `main/l/${nowMs}/${n}`,
        time: new Date(nowMs).toISOString(),
        transport: 'list',
        channel: 'enigma:notifications:campaigns',
        payload: {
          ref: '7',
          call_ref: `c${n}`,
          dialed_at: Math.floor(nowMs / 1000) - 3_600 + n,
          end_reason: 'hungup',
          ...own,
        },
      })
    const cdrs = [...Array.from({ length: 12 }, (_, n) => dialed(n)), dialed(20, { end_reason: 'busy' })]
    await sendAll(cdrs, sqs.url('campaigns-cdr'))
    await waitFor(async () => (await store.read.cdrs()).items.length === 13, 'all CDRs to be there')
    const before = seen.splice(0)
    const job = await replayAll({
      cdrs: { from: '2026-01-01', campaign: '7', end_reason: 'hungup' },
      route: 'campaigns-cdr',
      rate: 4,
    })
    expect(job.counts).toEqual({ waiting: 0, sent: 0, handled: 12, failed_again: 0, skipped: 0 })
    expect(new Set(seen.map(({ replay }) => replay))).toEqual(new Set([job.id]))
    // Of each four that are sent together, those of one message group are sent one after another.
    expect(replayed.numbers().map((n) => Math.floor(n / 4))).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
    const bytesOf = (runs: typeof seen) => runs.map(({ id, body }) => `${id} ${body}`)
    // The order is fixed only within a message group, so both sides are sorted.
    expect(bytesOf(seen).toSorted()).toEqual(bytesOf(before).slice(0, 12).toSorted())
    expect(bodies).toEqual([])
    // No CDR was counted twice, whatever its day.
    const { counts } = (await store.read.campaign('7')) ?? { counts: [] }
    expect(counts.reduce((sum, { count }) => sum + count, 0)).toBe(13)
    // A CDR that fails now is parked, and the replay shows the reason.
    state.answer = () => 422
    const failed = await replayAll({ cdrs: { end_reason: 'busy' }, route: 'campaigns-cdr' })
    expect(failed.counts).toMatchObject({ handled: 0, failed_again: 1 })
    const { body } = await ask('GET', `/replays/${failed.id}`)
    expect(body).toMatchObject({
      messages: { items: [{ outcome: 'failed_again', reason: expect.stringContaining('422') as string }] },
    })
    expect(await parked()).toMatchObject([{ route: 'campaigns-cdr' }])
  },
)
