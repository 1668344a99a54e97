import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import type { RelayParked } from '../../../src/protocol/index.ts'
import { createDelivery } from '../../../src/relay/parking/run-command.ts'
import { takeOut, createParkedList, type TakenOut, type Filter } from '../../../src/relay/parking/parked-list.ts'
import { readAccepted } from '../../support/accepted.ts'
import { cdr, PARKED_LIST, parkedEntries, parkedEntry, toArray } from '../../support/parked.ts'
import { useProxy } from '../../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { useRelayRedis } from '../../support/relay-redis.ts'
import { SMALLER_SERVERS } from '../../support/smaller-sqs.ts'
import {
  useSqsFaults,
  type Answer,
  type SqsFaultsOptions,
  type WireEntry,
  type WireRequest,
} from '../../support/sqs-faults.ts'
import { useHttpTarget } from '../../support/http-target.ts'
import { httpTargetOf, targetsOf } from '../../support/sender.ts'
import { ROUTES } from '../../support/routes.ts'

const CDRS = 'enigma-campaigns-cdr.fifo'
const NOTICES = 'enigma-relay-parked.fifo'

/** How long SQS may fail in these tests, ms: a few tries. */
const GIVE_UP_MS = 1_500

/** A Redis with these entries in its parked list, an SQS that makes faults, and the command's parts between them. */
async function useParked(
  entries: readonly (string | Buffer)[],
  options?: SqsFaultsOptions,
  toTargets: typeof targetsOf = targetsOf,
) {
  const server = await useRedisServer()
  const proxy = await useProxy(server.port)
  const redis = await useRedisClient(server.url)
  for (let from = 0; from < entries.length; from += 1_000)
    await redis.rPush(PARKED_LIST, entries.slice(from, from + 1_000))
  const client = await useRelayRedis(`redis://127.0.0.1:${proxy.port}`)
  const sqs = await useSqsFaults(options)
  const stop = new AbortController()
  const { signal } = stop
  const take = (action: 'retry' | 'drop', filter: Filter): AsyncGenerator<TakenOut> => {
    const deliveryOptions = { targets: toTargets(sqs.sqs), giveUpMs: GIVE_UP_MS }
    const [delivery, notices] = [createDelivery({ ...deliveryOptions, signal }), createDelivery(deliveryOptions)]
    const list = createParkedList(client, 'main')
    return takeOut(action, { list, filter, sourceId: 'main', routes: ROUTES, client, delivery, notices, signal })
  }
  return {
    proxy,
    redis,
    client,
    sqs,
    stop,
    left: () => redis.lRange(PARKED_LIST, 0, -1),
    retry: (filter: Filter = {}) => toArray(take('retry', filter)),
    drop: (filter: Filter = {}) => toArray(take('drop', filter)),
    notices: async () =>
      (await readAccepted(sqs, NOTICES)).map((event) => ({
        ...event,
        payload: (JSON.parse(String(event.data)) as { payload: RelayParked }).payload,
      })),
  }
}

const textOf = (entry: WireEntry) => entry.MessageBody
const refuse =
  (isRefused: (entry: WireEntry) => boolean) =>
  ({ queue }: WireRequest): Answer =>
    queue === NOTICES
      ? 'accept'
      : {
          fail: (entry) =>
            isRefused(entry) ? { Code: 'InvalidMessageContents', SenderFault: true, Message: 'no' } : undefined,
        }

test('G1 parked: an entry leaves the list only after SQS accepted it and its notice; it is sent as a separate message with its id and bytes', async () => {
  const packets = [
    cdr(0),
    '{ "type":"cdr",\n"payload":{"call_ref":12345678901234567890}}',
    Buffer.from([0xff, 0x00, 0x7b]),
    'no JSON \u{1f4de}',
  ]
  const entries = packets.map((packet, n) => parkedEntry(n, { packet }))
  const { sqs, redis, left, retry, notices } = await useParked(entries.map(({ entry }) => entry))
  const tooSoon: string[] = []
  sqs.state.answer = async ({ entries: sent }): Promise<Answer> => {
    const list = (await redis.lRange(PARKED_LIST, 0, -1)).join('\n')
    for (const { MessageBody: body } of sent)
      if (!list.includes(/main\/l\/\d+\/\d+/.exec(body)?.[0] ?? 'none')) tooSoon.push(body)
    return 'accept'
  }
  expect(await retry()).toEqual(
    entries.map(({ id }, n) => ({ id, state: 'sent', queue: n < 2 ? CDRS : 'enigma-other.fifo' })),
  )
  expect(await left()).toEqual([])
  const events = [...(await readAccepted(sqs, CDRS)), ...(await readAccepted(sqs, 'enigma-other.fifo'))]
  expect(events.map(({ id, data }) => [id, Buffer.from(data as string)])).toEqual(
    entries.map(({ id, bytes }) => [id, bytes]),
  )
  expect(sqs.accepted.filter(({ queue }) => queue !== NOTICES).map(({ MessageBody }) => MessageBody)).toEqual(
    entries.map(({ event }) => event),
  )
  expect(tooSoon).toEqual([])
  const told = await notices()
  expect(told.map(({ payload }) => payload)).toMatchObject(
    entries.map(({ id }) => ({ source: 'main', id, state: 'retried', reason: 'refused' })),
  )
  expect(told.map(({ type, subject, transport, channel }) => ({ type, subject, transport, channel }))).toEqual(
    entries.map(({ id }) => ({
      type: 'enigma.relay.parked',
      subject: id,
      transport: 'relay',
      channel: 'enigma:relay:main',
    })),
  )
  expect(new Set(told.map(({ id }) => id)).size).toBe(4)
})

test('G3 parked: retried entries keep the order of each reference, with at most one entry per lane and ten per request', async () => {
  const entries = parkedEntries(300, (n) => ({ packet: cdr(n, n % 7) }))
  const { sqs, left, retry } = await useParked(entries.map(({ entry }) => entry))
  await retry()
  expect(await left()).toEqual([])
  const events = await readAccepted(sqs, CDRS)
  expect(events).toHaveLength(300)
  const ofReference = Map.groupBy(
    events.map(({ data }) => (JSON.parse(String(data)) as { payload: { n: number; call_ref: number } }).payload),
    (payload) => payload.call_ref,
  )
  for (const [reference, payloads] of ofReference) {
    expect(payloads.map(({ n }) => n)).toEqual(
      Array.from({ length: 300 }, (_, n) => n).filter((n) => n % 7 === reference),
    )
  }
  for (const request of sqs.requests.filter(({ queue }) => queue === CDRS)) {
    expect(request.entries.length).toBeLessThanOrEqual(10)
    expect(new Set(request.entries.map((entry) => entry.MessageGroupId)).size).toBe(request.entries.length)
  }
})

test('G7 parked: an entry rejected again stays, with a reason without phone numbers; all others are sent, even if a whole request is rejected', async () => {
  const entries = parkedEntries(60, (n) => ({ packet: cdr(n) }))
  const { sqs, left, retry, notices } = await useParked(entries.map(({ entry }) => entry))
  const isRefused = (entry: WireEntry) => /"n":[37]\D/.test(textOf(entry))
  sqs.state.answer = ({ queue, entries: sent }) => {
    if (queue === NOTICES || !sent.some(isRefused)) return 'accept'
    if (sent.some((entry) => textOf(entry).includes('"n":3,'))) return { status: 400, code: 'InvalidMessageContents' }
    return {
      fail: (entry) =>
        isRefused(entry)
          ? { Code: 'InvalidMessageContents', SenderFault: true, Message: `what is ${textOf(entry)}` }
          : undefined,
    }
  }
  const taken = await retry()
  const stay = [entries[3], entries[7]]
  expect(await left()).toEqual(stay.map((one) => one?.entry))
  expect(taken.filter(({ state }) => state === 'stays')).toEqual(
    stay.map((one) => ({
      id: one?.id,
      state: 'stays',
      why: expect.stringContaining('InvalidMessageContents'),
    })),
  )
  expect(taken.filter(({ state }) => state === 'sent')).toHaveLength(58)
  expect(JSON.stringify(taken)).not.toContain('2782555')
  expect(await notices()).toHaveLength(58)
})

test('G1 parked: a lost answer, throttling and a cut connection to Redis lose no entry and duplicate none', async () => {
  const entries = parkedEntries(25)
  const { sqs, proxy, left, retry, notices } = await useParked(entries.map(({ entry }) => entry))
  const faults: Answer[] = [
    'lose',
    { status: 503, code: 'ServiceUnavailable' },
    { fail: () => ({ Code: 'Throttling', SenderFault: false }) },
  ]
  sqs.state.answer = () => {
    proxy.cut()
    return faults.shift() ?? 'accept'
  }
  const taken = await retry()
  expect(taken.map(({ state }) => state)).toEqual(entries.map(() => 'sent'))
  expect(await left()).toEqual([])
  expect((await readAccepted(sqs, CDRS)).map(({ id }) => id).toSorted()).toEqual(entries.map(({ id }) => id).toSorted())
  expect(new Set((await notices()).map(({ payload }) => payload.id)).size).toBe(25)
})

test('a retry handles each of 1,000 entries once, even if some stay and a relay appends an entry meanwhile', async () => {
  const entries = parkedEntries(1_000)
  const { sqs, redis, left, retry } = await useParked(entries.map(({ entry }) => entry))
  const isRefused = (n: number) => n % 3 === 0
  const late = parkedEntry(5_000).entry
  let appended = false
  sqs.state.answer = async (request) => {
    if (!appended) await redis.rPush(PARKED_LIST, late)
    appended = true
    return refuse((entry) => isRefused(Number(/"n":(\d+)/.exec(textOf(entry))?.[1])))(request)
  }
  const taken = await retry()
  expect(taken.map(({ id }) => id).toSorted()).toEqual(entries.map(({ id }) => id).toSorted())
  expect(await left()).toEqual([...entries.filter((_, n) => isRefused(n)).map(({ entry }) => entry), late])
})

test('a page of large entries is bounded in bytes, so that a long list never fills memory', async () => {
  const large = parkedEntries(12, (n) => ({
    packet: `{"type":"cdr","payload":{"call_ref":${n},"note":"${'x'.repeat(1024 * 1024)}"}}`,
    reason: 'too_large',
  }))
  const { client } = await useParked(large.map(({ entry }) => entry))
  const pages = await toArray(createParkedList(client, 'main').pages({}))
  expect(pages.map(({ entries }) => entries.length)).toEqual([3, 3, 3, 3])
  expect(pages.map(({ seen, of }) => [seen, of])).toEqual([
    [3, 12],
    [6, 12],
    [9, 12],
    [12, 12],
  ])
  expect(pages.flatMap(({ entries }) => entries.map(({ id }) => id))).toEqual(large.map(({ id }) => id))
})

test('copies of an id are all sent again, as one message for SQS, and all leave the list', async () => {
  const [one, other] = [parkedEntry(1), parkedEntry(2)]
  const parkedLater = one.entry.replace('10:00:01', '10:00:09')
  const { sqs, left, retry } = await useParked([one.entry, other.entry, parkedLater, one.entry])
  expect(await retry({ ids: new Set([one.id]) })).toMatchObject([
    { id: one.id, state: 'sent' },
    { id: one.id, state: 'sent' },
    { id: one.id, state: 'sent' },
  ])
  expect(await left()).toEqual([other.entry])
  expect((await readAccepted(sqs, CDRS)).map(({ id }) => id)).toEqual([one.id])
})

test('an entry whose route no longer exists goes to other, and an entry that was sent to other goes there again', async () => {
  const vanished = parkedEntry(1, { type: 'enigma.agents.vanished' })
  const dialler = parkedEntry(2, { key: 'enigma:notifications:relay', packet: '{"type":"gap","payload":{}}' })
  const { sqs, retry } = await useParked([vanished.entry, dialler.entry])
  expect(await retry()).toMatchObject([
    { state: 'sent', queue: 'enigma-other.fifo' },
    { state: 'sent', queue: 'enigma-other.fifo' },
  ])
  expect((await readAccepted(sqs, 'enigma-other.fifo')).map(({ id }) => id)).toEqual([vanished.id, dialler.id])
})

test('an entry that was too large is gzipped, and stays if it is still too large for the queue', async () => {
  const fits = parkedEntry(1, {
    packet: `{"type":"cdr","payload":{"call_ref":1,"note":"${'x'.repeat(30_000)}"}}`,
    reason: 'too_large',
  })
  const noise = Array.from({ length: 4_000 }, (_, n) => Math.imul(n + 1, 2_654_435_761).toString(36)).join('')
  const never = parkedEntry(2, {
    packet: `{"type":"cdr","payload":{"call_ref":2,"note":"${noise}"}}`,
    reason: 'too_large',
  })
  const { sqs, left, retry } = await useParked([fits.entry, never.entry], { maxBytes: 8_192 })
  expect(await retry()).toMatchObject([
    { id: fits.id, state: 'sent' },
    { id: never.id, state: 'stays', why: expect.stringMatching(/^more than the 8192 bytes of/) as string },
  ])
  expect(await left()).toEqual([never.entry])
  expect((await readAccepted(sqs, CDRS)).map(({ data }) => data)).toEqual([String(fits.bytes)])
})

test.each(SMALLER_SERVERS)(
  'an entry that only this server finds too large (%s) is gzipped; if it is still too large, only that entry stays',
  async (_name, answer) => {
    const fits = parkedEntry(1, { packet: `{"type":"cdr","payload":{"call_ref":1,"note":"${'x'.repeat(300_000)}"}}` })
    const never = parkedEntry(2, {
      packet: `{"type":"cdr","payload":{"call_ref":2,"note":"${randomBytes(300_000).toString('base64')}"}}`,
    })
    const small = parkedEntry(3)
    const { sqs, left, retry } = await useParked([fits.entry, never.entry, small.entry])
    sqs.state.answer = (request) => (request.queue === CDRS ? answer(request) : 'accept')
    const states = Object.fromEntries((await retry()).map(({ id, state }) => [id, state]))
    expect(states).toEqual({ [fits.id]: 'sent', [never.id]: 'stays', [small.id]: 'sent' })
    expect(await left()).toEqual([never.entry])
    expect(new Set((await readAccepted(sqs, CDRS)).map(({ data }) => data))).toEqual(
      new Set([String(fits.bytes), String(small.bytes)]),
    )
  },
)

test('a missing queue holds back only its own route; without the queue for notices, retry and drop change nothing', async () => {
  const call = parkedEntry(1, {
    key: 'enigma:notifications:agents:1002',
    packet: '{"type":"call","payload":{"ref":"1002"}}',
  })
  const { sqs, left, retry, drop } = await useParked([call.entry, parkedEntry(2).entry])
  sqs.missing.add('enigma-agents-call.fifo')
  expect(await retry()).toEqual([
    { id: call.id, state: 'stays', why: expect.stringContaining('enigma-agents-call.fifo') },
    { id: parkedEntry(2).id, state: 'sent', queue: CDRS },
  ])
  sqs.missing.clear()
  sqs.missing.add(NOTICES)
  const accepted = sqs.accepted.length
  await expect(retry()).rejects.toMatchObject({ code: 'relay.parked.queue_unusable' })
  await expect(drop()).rejects.toMatchObject({ code: 'relay.parked.queue_unusable' })
  expect(await left()).toEqual([call.entry])
  expect(sqs.accepted).toHaveLength(accepted)
})

test('an entry that cannot be announced stays on the list', async () => {
  const entry = parkedEntry(1)
  const { sqs, left, retry, drop } = await useParked([entry.entry])
  sqs.state.answer = ({ queue }) =>
    queue === NOTICES ? { fail: () => ({ Code: 'InternalError', SenderFault: false }) } : 'accept'
  await expect(retry()).rejects.toMatchObject({
    code: 'relay.parked.not_announced',
    message: expect.stringContaining('InternalError') as string,
  })
  await expect(drop()).rejects.toMatchObject({ code: 'relay.parked.not_announced' })
  expect(await left()).toEqual([entry.entry])
})

test('a replica, on which entries cannot be removed, is detected before anything is sent', async () => {
  const entry = parkedEntry(1)
  const { sqs, redis, left, retry } = await useParked([entry.entry])
  // The primary does not exist, so the data of the replica stay unchanged.
  await redis.sendCommand(['REPLICAOF', '127.0.0.1', '9'])
  await expect(retry()).rejects.toThrow('READONLY')
  expect(sqs.accepted).toEqual([])
  expect(await left()).toEqual([entry.entry])
})

test('drop removes exactly the matching entries, even unreadable ones, and sends a notice for each readable one', async () => {
  const [one, other] = [parkedEntry(1), parkedEntry(2)]
  const foreign = Buffer.from([0xff, 0x00, 0x31])
  const { redis, sqs, left, retry, drop, notices } = await useParked([one.entry, foreign, other.entry])
  expect((await retry({ reason: 'unreadable' }))[0]).toMatchObject({
    state: 'stays',
    why: expect.stringContaining('UTF-8') as string,
  })
  expect(await drop({ reason: 'unreadable' })).toMatchObject([
    { state: 'dropped', id: expect.stringContaining('unreadable/') },
  ])
  expect(await left()).toEqual([one.entry, other.entry])
  expect(await notices()).toEqual([])
  expect(await drop({ ids: new Set([other.id]) })).toEqual([{ id: other.id, state: 'dropped' }])
  expect(await left()).toEqual([one.entry])
  expect((await notices()).map(({ payload }) => [payload.id, payload.state])).toEqual([[other.id, 'dropped']])
  expect(await readAccepted(sqs, CDRS)).toEqual([])
  expect(await redis.exists('enigma:relay:none')).toBe(0)
})

test('an entry that another process removed meanwhile is reported as gone', async () => {
  const entry = parkedEntry(1)
  const { sqs, redis, drop } = await useParked([entry.entry])
  sqs.state.answer = async (): Promise<Answer> => {
    await redis.del(PARKED_LIST)
    return 'accept'
  }
  expect(await drop()).toEqual([{ id: entry.id, state: 'gone' }])
})

test('a retry that is stopped midway removes exactly the entries that SQS accepted', async () => {
  const entries = parkedEntries(50)
  const { sqs, stop, left, retry, notices } = await useParked(entries.map(({ entry }) => entry))
  sqs.state.answer = ({ queue }) => {
    if (queue === CDRS) stop.abort()
    return 'accept'
  }
  const taken = await retry()
  const sent = new Set((await readAccepted(sqs, CDRS)).map(({ id }) => id))
  expect(sent.size).toBeLessThan(11)
  expect(taken.map(({ id, state }) => [id, state])).toEqual([...sent].map((id) => [id, 'sent']))
  expect(await left()).toEqual(entries.filter(({ id }) => !sent.has(id)).map(({ entry }) => entry))
  expect((await notices()).map(({ payload }) => payload.id).toSorted()).toEqual([...sent].toSorted())
})

test('G3 parked: if SQS keeps failing for one entry, later requests of its route are not sent, and the command ends', async () => {
  const entries = parkedEntries(30, (n) => ({ packet: cdr(n, n % 5) }))
  const { sqs, left, retry } = await useParked(entries.map(({ entry }) => entry))
  sqs.state.answer = ({ queue }) =>
    queue === NOTICES
      ? 'accept'
      : {
          fail: (entry) =>
            textOf(entry).includes('"n":3,')
              ? { Code: 'KmsThrottled', SenderFault: false, Message: `busy with ${textOf(entry)}` }
              : undefined,
        }
  const taken = await retry()
  const sent = new Set((await readAccepted(sqs, CDRS)).map(({ id }) => id))
  // The first ten, but for 3 and 8 of its reference.
  expect([...sent].toSorted()).toEqual([0, 1, 2, 4, 5, 6, 7, 9].map((n) => entries[n]?.id))
  expect(taken.map(({ id, state }) => [id, state])).toEqual(
    entries.map(({ id }) => [id, sent.has(id) ? 'sent' : 'stays']),
  )
  for (const one of taken.filter(({ state }) => state === 'stays'))
    expect(JSON.stringify(one)).toContain('KmsThrottled')
  expect(JSON.stringify(taken)).not.toContain('2782555')
  expect(await left()).toEqual(entries.filter(({ id }) => !sent.has(id)).map(({ entry }) => entry))
})

test('a retry that is stopped while SQS does not answer ends and removes nothing from the list', async () => {
  const entries = parkedEntries(3)
  const { sqs, stop, left, retry, notices } = await useParked(entries.map(({ entry }) => entry))
  sqs.state.answer = () => {
    stop.abort()
    return 'hang'
  }
  expect(await retry()).toEqual([])
  expect(await left()).toEqual(entries.map(({ entry }) => entry))
  expect(await notices()).toEqual([])
})

test('a retried entry goes to the HTTP target of its route, marked as a redelivery, and stays while the functions ask for it again', async () => {
  const server = await useHttpTarget()
  const entries = [0, 1, 2].map((n) => parkedEntry(n).entry)
  const { retry, left } = await useParked(entries, {}, () => ({
    targetOf: (route) => httpTargetOf(route, server.url),
  }))
  server.state.answer = () => ({ outcome: ({ id }) => (id.endsWith('000/1') ? { after: 60 } : undefined) })
  const taken = await retry()
  expect(taken.map(({ state }) => state)).toEqual(['sent', 'stays', 'sent'])
  expect(taken[0]).toMatchObject({ queue: server.url.replace(/\?.*/, '') })
  expect(taken[1]).toMatchObject({ why: 'the functions ask for a later retry' })
  expect(await left()).toHaveLength(1)
  const sent = server.requests.filter(({ headers }) => headers['ce-route'] === 'campaigns-cdr')
  expect(sent.map(({ headers }) => headers['ce-redelivery'])).toEqual(sent.map(() => 'true'))
  expect(server.finished.filter(({ type }) => type.endsWith('parked'))).toHaveLength(2)
})
