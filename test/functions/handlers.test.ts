import { GetQueueAttributesCommand, ReceiveMessageCommand, SendMessageCommand } from '@aws-sdk/client-sqs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { bundleFunctions, FUNCTIONS_FOLDER } from '../../infra/build/bundle-functions.ts'
import type { SqsEvent } from '../../src/adapter/index.ts'
import { loadFunctions } from '../../src/local/street/street-functions.ts'
import { formatEvent, formatPacket, formatSequence, type Notification, type Route } from '../../src/protocol/index.ts'
import type { Store } from '../../src/store/index.ts'
import { startUpstashProxy } from '../../src/local/upstash-proxy.ts'
import { useReservedPort } from '../support/reserved-port.ts'
import { useSqs } from '../support/sqs.ts'
import { useStore } from '../support/store.ts'
import { useFunctionEnv } from '../support/env.ts'
import { readParked } from '../support/parked-messages.ts'
import { ROUTES } from '../support/routes.ts'

type Handler = (event: SqsEvent) => Promise<{ batchItemFailures: { itemIdentifier: string }[] }>

type File = `${string}/${string}` | 'other'

const PROJECT = new URL('../../', import.meta.url)

let index = 0
let base = 0

beforeAll(async () => {
  await bundleFunctions(ROUTES.all)
  // Bundling may take so long that calls from before it would be stale.
  base = Date.now()
})

/** A notification as the relay makes it. */
function toNotification(
  type: string,
  subType: string,
  reference: string | undefined,
  payload: unknown,
  own: Partial<Notification> = {},
): Notification {
  const number = base + index++
  return {
    id: `main/p/${number}/0`,
    source: '/enigma/main',
    type: `enigma.${type}.${subType}`,
    subject: reference,
    time: new Date(number).toISOString(),
    datacontenttype: 'application/json',
    data: formatPacket({ type: subType, payload }),
    transport: 'pubsub',
    channel: `enigma:notifications:${type}:${reference}`,
    sequence: formatSequence(number, 0),
    ...own,
  }
}

/** A notice of the relay. */
const toNotice = (subType: string, reference: string, payload: unknown): Notification =>
  toNotification('relay', subType, reference, payload, {
    id: `main/o/${base}/${index}`,
    transport: 'relay',
    channel: 'enigma:relay:main',
  })

const toEvent = (queue: string, notifications: readonly Notification[], receiveCount = 1): SqsEvent => ({
  Records: notifications.map((notification, at) => ({
    messageId: `m${at}-${notification.id}`,
    receiptHandle: 'r',
    body: formatEvent(notification),
    messageAttributes: {},
    attributes: {
      ApproximateReceiveCount: String(receiveCount),
      MessageGroupId: '1',
      ApproximateFirstReceiveTimestamp: String(base),
    },
    eventSourceARN: `arn:aws:sqs:us-east-1:000000000000:enigma-${queue}.fifo`,
  })),
})

let fresh = 0
/** The bundle, each time as a module of its own. */
const loadBundle = (file: string): Promise<unknown> =>
  import(`${pathToFileURL(resolve(FUNCTIONS_FOLDER, file.replace('/', '-'), 'index.mjs')).href}?${fresh++}`)

/** The handlers as Lambda loads them, on real servers by their environment. */
async function useFunctions(from: 'sources' | 'bundles') {
  const sqs = await useSqs()
  const port = await useReservedPort()
  const { store, proxy, redis } = await useStore({ proxy: { port } })
  useFunctionEnv(proxy, sqs)
  // Each test has servers of its own, and so functions of its own: a fresh environment, as Lambda makes one.
  vi.resetModules()
  const load = async (file: File): Promise<Handler> => {
    if (from === 'bundles') return ((await loadBundle(file)) as { handler: Handler }).handler
    const handlers = await loadFunctions(PROJECT, ROUTES)
    const route = ROUTES.all.find(({ name }) => name === file.replace('/', '-')) as Route
    return handlers.get(route) as unknown as Handler
  }
  return { sqs, store, redis, proxy, port, load }
}

const NONE = { batchItemFailures: [] }

/** For each route, a notification, and a check of the data that an application reads after it was handled. */
const CASES: Readonly<
  Record<string, { readonly make: () => Notification; readonly check: (store: Store) => Promise<unknown> }>
> = {
  'agents-call': {
    make: () =>
      toNotification('agents', 'call', '1002', {
        ref: '1002',
        call_ref: 77,
        contact_ref: 'k',
        number: 27821234567,
        agent: 'x',
      }),
    check: async (store) =>
      expect(await store.read.agent('1002')).toMatchObject({ call: { call_ref: '77', number: '27821234567' } }),
  },
  'agents-stats': {
    make: () => toNotification('agents', 'stats', '1002', { calls: '3', talk_time: 5000 }),
    check: async (store) =>
      expect(await store.read.agent('1002')).toMatchObject({ stats: [{ values: { calls: 3, talk_time: 5000 } }] }),
  },
  'agents-status': {
    make: () => toNotification('agents', 'status', '1002', { ref: 1002, status: 'busy', campaign_ref: 12 }),
    check: async (store) =>
      expect(await store.read.agent('1002')).toMatchObject({
        states: [{ campaign_ref: '12', status: 'busy' }],
        call: { call_ref: '77' },
      }),
  },
  'campaigns-cdr': {
    make: () =>
      toNotification(
        'campaigns',
        'cdr',
        undefined,
        { call_ref: 77, dialed_at: Math.floor(base / 1000), extension: 1002, end_reason: 'hungup', ref: 12 },
        { transport: 'list' },
      ),
    check: async (store) => {
      expect((await store.read.agent('1002'))?.call).toBeNull()
      expect(await store.read.campaign('12')).toMatchObject({ counts: [{ end_reason: 'hungup', count: 1 }] })
    },
  },
  'campaigns-dial_preview': {
    make: () => toNotification('campaigns', 'dial_preview', '12', { callees: [{ number: 1, contact_ref: 2 }] }),
    check: async (store) =>
      expect(await store.read.preview('12')).toMatchObject({ callees: [{ number: '1', contact_ref: '2' }] }),
  },
  'campaigns-stats': {
    make: () => toNotification('campaigns', 'stats', '12', { total_calls: 9 }),
    check: async (store) =>
      expect(await store.read.campaign('12')).toMatchObject({ stats: [{ values: { total_calls: 9 } }] }),
  },
  'campaigns-status': {
    make: () => toNotification('campaigns', 'status', '12', { ref: '12', status: 'started' }),
    check: async (store) => expect(await store.read.campaign('12')).toMatchObject({ status: 'started' }),
  },
  'dialers-status': {
    make: () => toNotification('dialers', 'status', 'd1', { status: 'started' }),
    check: async (store) => expect(await store.read.dialers()).toMatchObject([{ ref: 'd1', status: 'started' }]),
  },
  'inbound-call': {
    make: () =>
      toNotification(
        'inbound',
        'call',
        undefined,
        { ref: '801', call_ref: 'i1', call_dir: 'inbound' },
        { transport: 'list', maxwaitms: 3 },
      ),
    check: async (store) =>
      expect((await store.read.agent('801'))?.call).toMatchObject({ call_ref: 'i1', direction: 'inbound' }),
  },
  'relay-alive': {
    make: () =>
      toNotice('alive', 'r1', { relay: 'r1', sources: ['main'], started: new Date(base - 9000).toISOString() }),
    check: async (store) =>
      expect(await store.read.relays()).toMatchObject([
        { relay: 'r1', sources: ['main'], started_at: new Date(base - 9000).toISOString() },
      ]),
  },
  'relay-gap': {
    make: () =>
      toNotice('gap', 'main', {
        source: 'main',
        relay: 'r1',
        from: new Date(base - 5000).toISOString(),
        to: new Date(base + 60_000).toISOString(),
        cause: 'reconnect',
        patterns: ['enigma:notifications*'],
      }),
    check: async (store) => {
      expect(await store.read.gaps()).toMatchObject({ items: [{ cause: 'reconnect', relay: 'r1' }] })
      expect(await store.read.agent('1002')).toMatchObject({ states: [{ unsure: true }] })
    },
  },
  'relay-parked': {
    make: () =>
      toNotice('parked', 'main/p/1/1', {
        source: 'main',
        id: 'main/p/1/1',
        state: 'parked',
        route: 'agents-call',
        reason: 'too_large',
        detail: 'more than the 262144 bytes of enigma-agents-call.fifo, also when gzipped',
        received: new Date(base).toISOString(),
        parkedat: new Date(base).toISOString(),
        bytes: 300_000,
        type: 'enigma.agents.call',
      }),
    check: async (store) =>
      expect((await store.read.parked()).items).toMatchObject([
        { route: 'agents-call', notification_ids: ['main/p/1/1'] },
      ]),
  },
  // A step of a replay that does not exist any more has nothing to do.
  'relay-replay': {
    make: () => toNotification('relay', 'replay', 'gone', { job: 'gone' }, { transport: 'list' }),
    check: async (store) => expect((await store.read.replays()).items).toEqual([]),
  },
  other: {
    make: () => toNotification('agents', 'mood', '1002', { odd: true }, { reason: 'unknown_type' }),
    check: async (store) =>
      expect(await store.read.other()).toMatchObject({
        items: [{ reason: 'unknown_type' }],
        counts: { 'agents/mood': 1 },
      }),
  },
}

describe.each(['sources', 'bundles'] as const)('out of %s', (from) => {
  test('each route turns its notification into what an application reads', async () => {
    const { store, load } = await useFunctions(from)
    // A call must not be stale, however long the tests before took.
    base = Date.now()
    for (const { name, type, subType } of ROUTES.all) {
      const one = CASES[name]
      if (one === undefined) throw new Error(`${name} has no case: add one to CASES`)
      const handler = await load(name === 'other' ? name : `${type}/${subType}`)
      expect(await handler(toEvent(name, [one.make()])), name).toEqual(NONE)
      await one.check(store)
    }
  })

  test('a call from an hour ago is recorded as stale and is not current', async () => {
    const { store, load } = await useFunctions(from)
    const handler = await load('agents/call')
    const old = toNotification(
      'agents',
      'call',
      '1003',
      { call_ref: '1' },
      { time: new Date(base - 3600_000).toISOString() },
    )
    const waited = toNotification('agents', 'call', '1004', { call_ref: '2' }, { maxwaitms: 3600_000 })
    expect(await handler(toEvent('agents-call', [old, waited]))).toEqual(NONE)
    for (const ref of ['1003', '1004'])
      expect(await store.read.agent(ref)).toMatchObject({ call: null, calls: [{ stale: true }] })
  })

  test('a payload that does not match its schema is parked with the reason, and the rest of its batch is handled', async () => {
    const { store, load } = await useFunctions(from)
    const handler = await load('agents/status')
    const bad = toNotification('agents', 'status', '1005', { campaign_ref: '12', number: '27821234567' })
    const good = toNotification('agents', 'status', '1006', { status: 'busy' })
    expect(await handler(toEvent('agents-status', [bad, good]))).toEqual(NONE)
    expect((await store.read.agent('1006'))?.states[0]?.status).toBe('busy')
    const [entry, ...more] = (await store.read.parked()).items
    expect(more).toEqual([])
    expect(entry).toMatchObject({ reason: expect.stringMatching(/422.*status/) as string, attempts: 1 })
    expect(entry).toMatchObject({ route: 'agents-status', handler: 'agents/status', notification_ids: [bad.id] })
    expect(JSON.stringify(entry)).not.toContain('27821234567')
    expect(await readParked(store, entry?.id)).toEqual([bad])
  })

  test('G7: a notification that is too large for a request to the read model is parked alone and does not block its batch', async () => {
    const { store, load } = await useFunctions(from)
    const toCdr = (ref: number, more: object) =>
      toNotification(
        'campaigns',
        'cdr',
        undefined,
        { call_ref: ref, dialed_at: Math.floor(base / 1000), end_reason: 'hungup', ref: 12, ...more },
        { transport: 'list' },
      )
    const huge = toCdr(1, { recording_url: 'x'.repeat(600_000) })
    expect(await (await load('campaigns/cdr'))(toEvent('campaigns-cdr', [huge, toCdr(2, {})]))).toEqual(NONE)
    expect((await store.read.cdrs()).items.map(({ call_ref }) => call_ref)).toEqual(['2'])
    const fields = Object.fromEntries(Array.from({ length: 5_000 }, (_, at) => [`f${at}`, at]))
    const many = toNotification('agents', 'stats', '1008', fields)
    expect(
      await (
        await load('agents/stats')
      )(toEvent('agents-stats', [many, toNotification('agents', 'stats', '1009', { calls: 1 })])),
    ).toEqual(NONE)
    expect((await store.read.agents()).items.map(({ ref }) => ref)).toEqual(['1009'])
    const { items } = await store.read.parked()
    expect(items.map(({ route }) => route)).toEqual(['agents-stats', 'campaigns-cdr'])
    for (const { reason } of items) expect(reason).toMatch(/^413: the notification .* than .*/)
    expect(await Promise.all(items.map(({ id }) => readParked(store, id)))).toEqual([[many], [huge]])
  })

  test('a batch that fails while the read model is down is redelivered soon, and handled once the read model is back', async () => {
    const { sqs, store, redis, proxy, port, load } = await useFunctions(from)
    const handler = await load('agents/status')
    const QueueUrl = sqs.url('agents-status')
    const one = toNotification('agents', 'status', '1007', { status: 'busy' })
    await sqs.sqs.send(
      new SendMessageCommand({
        QueueUrl,
        MessageBody: formatEvent(one),
        MessageGroupId: '1',
        MessageDeduplicationId: '1',
      }),
    )
    const receive = async (WaitTimeSeconds: number): Promise<SqsEvent> => {
      const { Messages = [] } = await sqs.sqs.send(
        new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds, MessageSystemAttributeNames: ['All'] }),
      )
      return {
        Records: Messages.map((m) => ({
          messageId: m.MessageId ?? '',
          receiptHandle: m.ReceiptHandle ?? '',
          body: m.Body ?? '',
          attributes: m.Attributes ?? {},
          messageAttributes: {},
          eventSourceARN: 'arn:aws:sqs:us-east-1:000000000000:enigma-agents-status.fifo',
        })) as SqsEvent['Records'],
      }
    }
    const first = await receive(1)
    await proxy.stop()
    expect((await handler(first)).batchItemFailures).toHaveLength(1)
    // The queue's own visibility timeout is three minutes; the adapter has shortened it to a second.
    const again = await receive(10)
    expect(again.Records).toHaveLength(1)
    expect(again.Records[0]?.attributes['ApproximateReceiveCount']).toBe('2')
    const { Attributes } = await sqs.sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }))
    expect(Attributes?.['ApproximateNumberOfMessagesNotVisible']).toBe('1')
    const back = await startUpstashProxy({ redisUrl: redis.url, token: 'test-token', port })
    onTestFinished(() => back.stop())
    expect(await handler(again)).toEqual(NONE)
    expect((await store.read.agent('1007'))?.states).toMatchObject([{ status: 'busy' }])
  })
})
