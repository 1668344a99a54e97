import { formatEvent, readBody, type Notification, type RelayParked } from 'enigma-relay/protocol'
import { relayParked, type ParkedRecord } from 'enigma-relay/store'
import { expect, it } from 'vitest'
import { toOutcomeEffects } from '../../src/store/effects/park-effects.ts'
import { notification } from '../adapter/factories.ts'
import { notice, useApi } from './api-world.ts'

type Answer = {
  items: ParkedRecord[]
  next: string | null
  relay: { total: number }
  functions: { total: number }
}

const NUMBER = '27821234567'
const BASE_MS = Date.now() - 3600_000
const at = (second: number) => new Date(BASE_MS + second * 1000).toISOString()

/** The relay's notice of an entry that it parked at this second. */
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

const failing = (second: number, one: Notification | string, own: object = {}) => ({
  route: 'agents-call',
  eventSourceARN: 'arn:aws:sqs:us-east-1:000000000000:enigma-agents-call.fifo',
  ...(typeof one === 'string' ? { body: one } : { key: one.id, notification: one }),
  reason: '422: call_ref is missing',
  attempts: 1,
  messageId: `m${second}`,
  messageGroupId: '17',
  firstReceivedAt: at(5),
  ...own,
})

const park = (second: number, ...parked: ReturnType<typeof failing>[]) =>
  toOutcomeEffects({ parked, failed: [], replayed: [] }, BASE_MS + second * 1000)

it('G5: an entry that a function parked shows its reason, handler, attempts and times, and never the packet', async () => {
  const { commit, json } = await useApi()
  const call = notification('1002', 1, { type: 'enigma.agents.call', payload: { number: NUMBER } })
  const failed = [{ messageId: 'm9', attempt: 1, status: 503, reason: '503: busy', keys: ['x', call.id] }]
  await commit(...(await toOutcomeEffects({ parked: [], failed, replayed: [] }, BASE_MS)))
  await commit(...(await park(9, failing(9, call, { status: 422, attempts: 2, handler: 'agents/call' }))))
  await commit(...(await park(10, failing(10, `not json ${NUMBER}`, { reason: 'the body is not JSON' }))))
  const answer = await json<Answer>('/parked')
  const common = {
    id: expect.stringMatching(/^[0-9a-f]{20}$/) as string,
    from: 'functions',
    route: 'agents-call',
    detail: null,
    first_attempt_at: at(5),
    stale_at: null,
    replay: null,
    replays: 0,
  }
  const later = (second: number) => new Date(BASE_MS + second * 1000 + 30 * 24 * 3600_000).toISOString()
  const parked = {
    ...common,
    notification_ids: [call.id],
    source: 'main',
    type: 'enigma.agents.call',
    subject: '1002',
    reason: '422: call_ref is missing',
    status: 422,
    handler: 'agents/call',
    attempts: 2,
    received_at: call.time,
    parked_at: at(9),
    bytes: formatEvent(call).length,
    message_id: 'm9',
    expires_at: later(9),
    // Half a minute after receipt: no screen may show an older call.
    stale_at: new Date(Date.parse(call.time) + 30_000).toISOString(),
  }
  expect(answer.items).toEqual([
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
      parked_at: at(10),
      bytes: 9 + NUMBER.length,
      message_id: 'm10',
      expires_at: later(10),
    },
    parked,
  ])
  expect([answer.relay, answer.functions]).toEqual([{ total: 0 }, { total: 2 }])
  expect(JSON.stringify(answer)).not.toContain(NUMBER)
  // The detail adds every attempt, without the attempts of other notifications in the same message.
  expect(await json(`/parked/${answer.items[1]?.id}`)).toEqual({
    ...parked,
    failed_attempts: [
      { at: at(0), attempt: 1, status: 503, reason: '503: busy' },
      { at: at(9), attempt: 2, status: 422, reason: '422: call_ref is missing' },
    ],
    content: { text: expect.stringContaining('"number":"27*******67"') as string, masked: true },
    lane: { ids: [answer.items[1]?.id, answer.items[0]?.id], total: 2 },
  })
  // An unreadable message is masked completely.
  expect(await json(`/parked/${answer.items[0]?.id}`)).toMatchObject({ content: { text: 'masked', masked: true } })
})

it('G5: a parked notification keeps its exact bytes, however large, and so does an unreadable message', async () => {
  const { commit, json, store } = await useApi()
  const random = Buffer.from(crypto.getRandomValues(new Uint8Array(60_000)))
  const large = Array.from({ length: 10 }, (_, n) => random.subarray(n * 5_000).toString('base64')).join('')
  const given: (Notification | string)[] = [
    notification('A', 1, { payload: { large } }),
    notification('A', 2, { payload: { contact: '😀 \u2028', number: '12345678901234567890.10' } }),
    notification('A', 3, { data: Uint8Array.of(0xff, 0, 0xfe), datacontenttype: 'application/octet-stream' }),
    'not json 😀',
  ]
  for (const [second, one] of given.entries()) await commit(...(await park(second, failing(second, one))))
  const { items } = await json<Answer>('/parked')
  const messages = await store.read.parkedMessages(items.map(({ id }) => id).toReversed())
  expect(messages.map(({ queue, messageGroupId }) => [queue, messageGroupId])).toEqual(
    given.map(() => ['enigma-agents-call.fifo', '17']),
  )
  const [broken] = messages.splice(3)
  expect([broken?.body, broken?.contentEncoding]).toEqual(['not json 😀', undefined])
  for (const [n, { body, contentEncoding }] of messages.entries())
    expect(await readBody(body, contentEncoding)).toEqual([given[n]])
})

it('a notification that is parked twice is one entry with both attempts', async () => {
  const { commit, json, store } = await useApi()
  const one = notification('A', 1, { payload: { large: 'x'.repeat(10) } })
  await commit(...(await park(1, failing(1, one, { messageId: 'm1' }))))
  await commit(...(await park(2, failing(2, one, { messageId: 'm2', reason: '409: still wrong', status: 409 }))))
  const { items } = await json<Answer>('/parked')
  expect(items).toMatchObject([{ parked_at: at(2), reason: '409: still wrong' }])
  expect((await store.read.parkedEntry(items[0]?.id ?? ''))?.failed_attempts).toHaveLength(2)
})

it('entries of one commit keep their order, and pages with any filter return each match once, newest first', async () => {
  const { commit, json } = await useApi()
  const sourceAt = (second: number) => (second === 10 ? 'seldom' : second % 3 === 0 ? 'north' : 'main')
  for (let second = 0; second < 48; second += 2)
    await commit(relaySays(second, { source: sourceAt(second), id: `${sourceAt(second)}/l/1/${second}` }))
  // Entries between those of the relay, and twenty with the same time.
  const own = [1, 3, 7, 20, 25, 31, 46, 50].map((second) => ({ second, n: 0 }))
  const batch = Array.from({ length: 20 }, (_, n) => ({ second: 33, n }))
  const toFailing = ({ second, n }: { second: number; n: number }) => {
    const source = second === 7 || second === 50 ? 'seldom' : sourceAt(second)
    const one = notification('A', second * 100 + n, { source: `/enigma/${source}` })
    return failing(second, { ...one, id: `${source}/p/1/${second * 100 + n}` }, { reason: `422 at ${n}`, status: 422 })
  }
  for (const one of own) await commit(...(await park(one.second, toFailing(one))))
  await commit(...(await park(33, ...batch.map(toFailing))))
  const walk = async (filter: string, limit: number) => {
    const found: ParkedRecord[] = []
    for (let cursor = ''; ;) {
      const page = await json<Answer>(`/parked?limit=${limit}${filter}${cursor}`)
      expect(page.items.length).toBeLessThanOrEqual(limit)
      expect([page.relay.total, page.functions.total]).toEqual([24, 28])
      found.push(...page.items)
      if (page.next === null) return found
      cursor = `&cursor=${encodeURIComponent(page.next)}`
    }
  }
  const all = await walk('', 500)
  expect(all).toHaveLength(52)
  const times = all.map((item) => item.parked_at)
  expect(times).toEqual(times.toSorted().toReversed())
  expect(all.filter((item) => item.parked_at === at(33)).map((item) => item.reason)).toEqual(
    batch.map(({ n }) => `422 at ${n}`).toReversed(),
  )
  const isNew = (item: ParkedRecord) => item.parked_at >= at(30)
  const cases: [string, (item: ParkedRecord) => boolean][] = [
    ['', () => true],
    ['&from=relay', (item) => item.from === 'relay'],
    ['&from=functions', (item) => item.from === 'functions'],
    ['&source=north', (item) => item.source === 'north'],
    ['&source=seldom', (item) => item.source === 'seldom'],
    ['&route=agents-call', (item) => item.route === 'agents-call'],
    ['&reason=TOO_LARGE', (item) => item.reason === 'too_large'],
    ['&status=422', (item) => item.status === 422],
    [`&since=${at(30)}`, isNew],
    [`&until=${at(33)}&since=${at(33)}`, (item) => item.parked_at === at(33)],
    [
      `&since=${at(30)}&source=main&from=functions`,
      (item) => isNew(item) && item.source === 'main' && item.status === 422,
    ],
  ]
  for (const [filter, fits] of cases) {
    expect(all.filter(fits).length, filter).toBeGreaterThan(0)
    for (const limit of [1, 4, 100])
      expect(await walk(filter, limit), `${filter} by ${limit}`).toEqual(all.filter(fits))
  }
})

it('an invalid parameter is named, and an unknown entry or replay is a 404', async () => {
  const { get } = await useApi()
  for (const [query, parameter] of [
    ['from=dialler', 'from'],
    ['since=yesterday', 'since'],
    ['status=ok', 'status'],
    ['cursor=nonsense', 'cursor'],
    ['state=parked', 'state'],
  ])
    expect(await (await get(`/parked?${query}`)).json()).toMatchObject({ status: 400, parameter })
  expect((await get('/parked/0123456789abcdef0123')).status).toBe(404)
  expect((await get('/replays/none')).status).toBe(404)
})
