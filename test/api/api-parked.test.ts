import { ReceiveMessageCommand, SetQueueAttributesCommand } from '@aws-sdk/client-sqs'
import { type RelayParked } from 'enigma-relay/protocol'
import { relayParked } from 'enigma-relay/store'
import { createServer, type AddressInfo } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import type { FunctionsPart, ParkedItem } from '../../src/api/schemas/parked.ts'
import { notice, useApi } from './api-world.ts'
import { toBody, toNotification, useParked } from './dead-letters-world.ts'
import { ROUTES } from '../support/routes.ts'

type Answer = { items: ParkedItem[]; next: string | null; relay: { total: number | null }; functions: FunctionsPart }

const NUMBER = '27821234567'
const BASE_MS = Date.now() - 3600_000
const at = (second: number) => new Date(BASE_MS + second * 1000).toISOString()

/** What the relay says of something that it put aside at this second. */
function relaySays(second: number, own: Partial<RelayParked> = {}) {
  const payload: RelayParked = {
    source: 'main',
    id: `main/l/1/${second}`,
    state: 'parked',
    route: 'campaigns-cdr',
    reason: 'too_large',
    detail: 'over the limit of the queue',
    received: at(second - 1),
    parkedat: at(second),
    bytes: 1_200_000,
    type: 'enigma.campaigns.cdr',
    ...own,
  }
  return relayParked(notice(payload, { type: 'relay', subType: 'parked', transport: 'relay' }))
}

it('G5: what a function parked says why, by whom, how often and when, and never shows the packet', async () => {
  const { park, json, visible } = await useParked()
  const call = toNotification('agents', 'call', { number: NUMBER })
  const about = {
    messageId: 'm1',
    messageGroupId: '17',
    eventSourceARN: 'arn:aws:sqs:us-east-1:000000000000:enigma-agents-call.fifo',
    firstReceivedAt: at(5),
  }
  const parkCall = await park('agents', 'call')
  await parkCall({
    notification: call,
    reason: '422 call_ref is missing',
    status: 422,
    attempts: 3,
    handler: 'agents/call',
    ...about,
  })
  await parkCall({ body: `not json ${NUMBER}`, reason: 'the body is not JSON', attempts: 1, ...about, messageId: 'm2' })
  const answer = await json<Answer>('/parked')
  const common = {
    from: 'functions',
    route: 'agents-call',
    detail: null,
    first_attempt_at: at(5),
    parked_at: expect.any(String),
    message_id: expect.any(String),
  }
  // Put aside within the same millisecond, they come in any order.
  expect(answer.items.toSorted((a, b) => (a.reason < b.reason ? 1 : -1))).toEqual([
    {
      ...common,
      notification_ids: [],
      source: null,
      type: null,
      subject: null,
      reason: 'the body is not JSON',
      status: null,
      handler: null,
      attempts: 1,
      received_at: null,
      bytes: 9 + NUMBER.length,
    },
    {
      ...common,
      notification_ids: [call.id],
      source: 'main',
      type: 'enigma.agents.call',
      subject: '1002',
      reason: '422 call_ref is missing',
      status: 422,
      handler: 'agents/call',
      attempts: 3,
      received_at: call.time,
      bytes: toBody(call).length,
    },
  ])
  expect(answer.functions).toEqual({ status: 'read', detail: null, total: 2 })
  expect(JSON.stringify(answer)).not.toContain(NUMBER)
  expect(await visible('agents-call')).toBe(2)
})

it('a large one is parked also where the dead-letter queue takes 256 KiB only', async () => {
  const { park, json, sqs, url } = await useParked()
  await sqs.sqs.send(
    new SetQueueAttributesCommand({
      QueueUrl: url('campaigns-dial_preview'),
      Attributes: { MaximumMessageSize: String(256 * 1024) },
    }),
  )
  const preview = toNotification('campaigns', 'dial_preview', {
    callees: Array.from({ length: 6_000 }, (_, n) => ({ number: NUMBER, contact_ref: `c${n}` })),
  })
  expect(String(preview.data).length).toBeGreaterThan(256 * 1024)
  const parkPreview = await park('campaigns', 'dial_preview')
  const eventSourceARN = 'arn:aws:sqs:us-east-1:000000000000:enigma-campaigns-dial_preview.fifo'
  await parkPreview({
    notification: preview,
    reason: '422',
    attempts: 1,
    messageId: 'm1',
    messageGroupId: '17',
    eventSourceARN,
  })
  expect((await json<Answer>('/parked')).items).toMatchObject([{ notification_ids: [preview.id], reason: '422' }])
})

it('what SQS moved itself is shown with all notifications in it, also when the pack was compressed or cannot be read', async () => {
  const { put, json } = await useParked()
  const pack = [toNotification('agents', 'stats', { calls: 1 }), toNotification('agents', 'stats', { calls: 2 })]
  await put('agents-stats', toBody(...pack))
  await put('agents-stats', 'bm90IGd6aXA=', { 'content-encoding': 'gzip' })
  const { items } = await json<Answer>('/parked')
  expect(items.toSorted((a, b) => a.notification_ids.length - b.notification_ids.length)).toMatchObject([
    { notification_ids: [], type: null, reason: 'moved by SQS after 50 deliveries' },
    {
      notification_ids: pack.map((one) => one.id),
      source: 'main',
      type: 'enigma.agents.stats',
      subject: null,
      reason: 'moved by SQS after 50 deliveries',
      attempts: 50,
      received_at: pack[0]?.time,
    },
  ])
})

it('pages of both lists give each that fits once, newest first, whatever the filter', async () => {
  const { put, commit, json } = await useParked({ keepMs: 60_000 })
  const seconds = Array.from({ length: 24 }, (_, index) => index)
  const sourceAt = (second: number) => (second === 10 ? 'seldom' : second % 3 === 0 ? 'north' : 'main')
  await commit(
    ...seconds.map((second) =>
      relaySays(second * 2, { source: sourceAt(second * 2), id: `${sourceAt(second * 2)}/l/1/${second * 2}` }),
    ),
  )
  // Among those of the relay, and some at the very same moments as those.
  for (const second of [1, 2, 3, 7, 20, 25, 31, 46, 50]) {
    const source = `/enigma/${second === 7 || second === 50 ? 'seldom' : sourceAt(second)}`
    await put('agents-call', toBody(toNotification('agents', 'call', {}, { source })), {
      reason: `422 at ${second}`,
      parkedAt: at(second),
    })
  }
  const walk = async (filter: string, limit: number) => {
    const found: ParkedItem[] = []
    for (let cursor = ''; ;) {
      const page = await json<Answer>(`/parked?limit=${limit}${filter}${cursor}`)
      expect(page.items.length).toBeLessThanOrEqual(limit)
      found.push(...page.items)
      if (page.next === null) return found
      cursor = `&cursor=${encodeURIComponent(page.next)}`
    }
  }
  const all = await walk('', 500)
  expect(all).toHaveLength(33)
  const times = all.map((item) => item.parked_at)
  expect(times).toEqual(times.toSorted().toReversed())
  const isNew = (item: ParkedItem) => item.parked_at >= at(30)
  const cases: [string, (item: ParkedItem) => boolean][] = [
    ['', () => true],
    ['&from=relay', (item) => item.from === 'relay'],
    ['&from=functions', (item) => item.from === 'functions'],
    ['&source=north', (item) => item.source === 'north'],
    ['&source=seldom', (item) => item.source === 'seldom'],
    ['&route=agents-call', (item) => item.route === 'agents-call'],
    ['&reason=TOO_LARGE', (item) => item.reason === 'too_large'],
    [`&since=${at(30)}`, isNew],
    [
      `&since=${at(30)}&source=main&from=functions`,
      (item) => isNew(item) && item.source === 'main' && item.from === 'functions',
    ],
  ]
  for (const [filter, fits] of cases) {
    expect(all.filter(fits).length, filter).toBeGreaterThan(0)
    for (const limit of [1, 4, 100])
      expect(await walk(filter, limit), `${filter} by ${limit}`).toEqual(all.filter(fits))
  }
})

it('looking takes nothing away and hides nothing: all are there at once for the next who looks', async () => {
  const { park, put, json, visible, asked } = await useParked()
  const parkStatus = await park('agents', 'status')
  for (let index = 0; index < 25; index++) {
    const eventSourceARN = 'arn:aws:sqs:us-east-1:000000000000:enigma-agents-status.fifo'
    await parkStatus({
      notification: toNotification('agents', 'status', {}),
      reason: '422',
      attempts: 1,
      messageId: `m${index}`,
      messageGroupId: '17',
      eventSourceARN,
    })
  }
  await put('other', toBody(toNotification('agents', 'mood', {})))
  const first = await json<Answer>('/parked')
  expect(first.items).toHaveLength(26)
  expect([await visible('agents-status'), await visible('other')]).toEqual([25, 1])
  expect(await json<Answer>('/parked')).toEqual(first)
  // Ten at a time, and the empty answer at the end; a queue that holds nothing is not asked for messages.
  expect(asked.filter((command) => command === 'ReceiveMessage').length).toBeLessThanOrEqual(2 * (4 + 2))
})

it('one that somebody else holds hides no other, and the answer says that it is missing', async () => {
  const { park, json, sqs, url } = await useParked()
  const parkStatus = await park('agents', 'status')
  for (let index = 0; index < 3; index++) {
    const eventSourceARN = 'arn:aws:sqs:us-east-1:000000000000:enigma-agents-status.fifo'
    await parkStatus({
      notification: toNotification('agents', 'status', {}),
      reason: '422',
      attempts: 1,
      messageId: `m${index}`,
      messageGroupId: '17',
      eventSourceARN,
    })
  }
  await sqs.sqs.send(new ReceiveMessageCommand({ QueueUrl: url('agents-status'), MaxNumberOfMessages: 1 }))
  const { items, functions } = await json<Answer>('/parked')
  expect(items).toHaveLength(2)
  expect(functions).toEqual({ status: 'incomplete', detail: '2 of about 3 messages could be read', total: 3 })
})

it('requests at the same time, and soon after, share one look', async () => {
  const { put, json, asked } = await useParked({ keepMs: 60_000 })
  await put('other', toBody(toNotification('agents', 'mood', {})))
  const answers = await Promise.all(Array.from({ length: 5 }, () => json<Answer>('/parked')))
  answers.push(await json<Answer>('/parked?limit=1'))
  for (const { items } of answers) expect(items).toHaveLength(1)
  expect(asked.filter((command) => command === 'GetQueueAttributes')).toHaveLength(ROUTES.all.length)
})

it("when SQS is away the relay's part is answered, and what is missing is said", async () => {
  const { commit, json, sqs, said } = await useParked()
  await commit(relaySays(1))
  await sqs.stop()
  const { items, relay, functions } = await json<Answer>('/parked')
  expect(items).toMatchObject([
    { from: 'relay', notification_ids: ['main/l/1/1'], reason: 'too_large', bytes: 1_200_000 },
  ])
  expect(relay.total).toBe(1)
  expect(functions).toMatchObject({
    status: 'unavailable',
    detail: expect.stringMatching(/^enigma-.*-dlq\.fifo: SQS cannot be reached/),
    total: null,
  })
  expect(said).toMatchObject([{ code: 'functions.dead_letters.unreadable' }])
})

it('an SQS that never answers is given up, a queue that is not there is named', async () => {
  const sockets = createServer()
  await new Promise<void>((resolve) => sockets.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void sockets.close())
  const { SQSClient, ...sdk } = await import('@aws-sdk/client-sqs')
  const client = new SQSClient({
    endpoint: `http://127.0.0.1:${(sockets.address() as AddressInfo).port}`,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  })
  onTestFinished(() => client.destroy())
  const hanging = await useParked({
    limitMs: 300,
    connect: () => Promise.resolve({ sdk: { SQSClient, ...sdk }, client }),
  })
  expect((await hanging.json<Answer>('/parked')).functions).toMatchObject({
    status: 'unavailable',
    detail: expect.stringContaining('SQS does not answer in time'),
  })

  const misnamed = await useParked({ prefix: 'elsewhere-' })
  expect((await misnamed.json<Answer>('/parked')).functions.detail).toMatch(
    /elsewhere-.*the queue does not exist; check ENIGMA_QUEUE_PREFIX/,
  )

  const gone = await useParked()
  await gone.put('other', toBody(toNotification('agents', 'mood', {})))
  await gone.sqs.sqs.send(new sdk.DeleteQueueCommand({ QueueUrl: gone.url('inbound-call') }))
  const { items, functions } = await gone.json<Answer>('/parked')
  expect(items).toHaveLength(1)
  expect(functions).toMatchObject({
    status: 'incomplete',
    detail: expect.stringMatching(
      new RegExp(`^1 of ${ROUTES.all.length} queues cannot be read\\. enigma-inbound-call-dlq\\.fifo`),
    ) as string,
  })
})

it('without a queue prefix the functions part is not configured; by `from` it is not asked', async () => {
  const { json, get, commit } = await useApi()
  await commit(relaySays(1))
  expect(await json('/parked')).toMatchObject({
    items: [{ from: 'relay' }],
    functions: { status: 'not_configured', detail: expect.stringContaining('ENIGMA_QUEUE_PREFIX') },
  })
  expect(await json('/parked?from=relay')).toMatchObject({
    items: [{}],
    relay: { total: 1 },
    functions: { status: 'not_asked' },
  })
  expect(await json('/parked?from=functions')).toMatchObject({
    items: [],
    relay: { total: null },
    functions: { status: 'not_configured' },
  })
  for (const [query, parameter] of [
    ['from=dialler', 'from'],
    ['since=yesterday', 'since'],
    ['cursor=nonsense', 'cursor'],
    ['state=parked', 'state'],
  ]) {
    expect(await (await get(`/parked?${query}`)).json()).toMatchObject({ status: 400, parameter })
  }
})
