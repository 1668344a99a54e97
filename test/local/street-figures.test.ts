import { expect, test } from 'vitest'
import {
  createWatch,
  quantile,
  readFigures,
  type Buckets,
  type Handled,
} from '../../src/local/street/street-figures.ts'
import { formatEvent, gzipBody, type Notification } from '../../src/protocol/index.ts'
import { createRelay, readConfig } from '../../src/relay/index.ts'
import { createLog } from '../../src/runtime/index.ts'
import { toLambdaRecord } from '../../src/local/lambda/lambda-trigger.ts'
import { formatHandled } from '../../src/local/view/lines.ts'
import { waitFor } from '../support/relay.ts'
import { routeOf, ROUTES } from '../support/routes.ts'

const ROUTE = routeOf('agents', 'call')

const makeNotification = (data: string, more: Partial<Notification> = {}): Notification => ({
  id: 'main/p/1/1',
  source: '/enigma/main',
  type: 'enigma.agents.call',
  subject: '1002',
  time: new Date().toISOString(),
  datacontenttype: 'application/json',
  data,
  transport: 'pubsub',
  channel: 'enigma:notifications:agents:1002',
  sequence: '0001',
  ...more,
})

const PACKET =
  '{"type":"call","payload":{"ref":"1002","number":"27821234567","contact_ref":"C-778899","call_ref":9007199254740993}}'

/** A record with one notification in it. */
async function makeRecord(notification: Notification, gzip = false) {
  const body = formatEvent(notification)
  const attributes = gzip
    ? { MessageAttributes: { 'content-encoding': { DataType: 'String', StringValue: 'gzip' } } }
    : {}
  return toLambdaRecord(
    { MessageId: notification.id, Body: gzip ? await gzipBody(body) : body, ...attributes },
    'arn:aws:sqs:us-east-1:1:q.fifo',
  )
}

/** The notifications that a watch reports for one invocation. */
async function watchOne(failed: boolean, gzip = false) {
  const told: Handled[] = []
  const watch = createWatch((handled) => told.push(handled))
  const record = await makeRecord(makeNotification(PACKET), gzip)
  watch.noteInvocation(ROUTE, {
    functionName: 'agents-call',
    records: [record],
    failed: new Set(failed ? [record.messageId] : []),
  })
  await waitFor(() => told.length === 1, 'the notification')
  return { watch, told }
}

test.each([false, true])(
  'notifications of messages that are done are counted and timed (gzipped: %s)',
  async (gzip) => {
    const { watch, told } = await watchOne(false, gzip)
    expect(watch.handled.get('agents-call')).toBe(1)
    expect(told[0]).toMatchObject({ route: ROUTE, outcome: 'done', notification: { id: 'main/p/1/1', data: PACKET } })
  },
)

test('notifications of a failed message are reported as retry and not counted', async () => {
  const { watch, told } = await watchOne(true)
  expect(watch.handled.size).toBe(0)
  expect(told[0]?.outcome).toBe('retry')
})

test('the figures combine the counts of the relay and the watch, and all parked notifications', async () => {
  const relay = createRelay({
    routes: ROUTES,
    config: readConfig({ AWS_REGION: 'us-east-1' }),
    log: createLog('silent'),
  })
  relay.metrics.received.inc({ source: 'a', transport: 'pubsub', route: 'agents-call' }, 2)
  relay.metrics.received.inc({ source: 'b', transport: 'list', route: 'agents-call' }, 3)
  relay.metrics.backlog.set({ source: 'a', list: 'x' }, 4)
  relay.metrics.backlog.set({ source: 'b', list: 'x' }, 5)
  relay.metrics.parkedItems.set({ source: 'a' }, 6)
  relay.metrics.gaps.inc({ source: 'a', cause: 'restart' })
  relay.metrics.delay.observe({ route: 'agents-call' }, 0.0015)
  const { watch } = await watchOne(false)
  const figures = await readFigures({
    routes: ROUTES,
    metrics: relay.metrics,
    watch,
    countParked: () => Promise.resolve(10),
  })
  expect(figures).toMatchObject({ backlog: 9, parked: 16, gaps: 1 })
  expect(figures.routes.find(({ name }) => name === 'agents-call')).toEqual({
    name: 'agents-call',
    received: 5,
    handled: 1,
  })
  expect(figures.routes.find(({ name }) => name === 'other')).toEqual({ name: 'other', received: 0, handled: 0 })
  expect(quantile([], figures.relayDelay, 0.5)).toBeCloseTo(0.0015)
})

const buckets = (...counts: number[]): Buckets =>
  [0.1, 0.2, 0.4, Infinity].map((atMost, at) => ({ atMost, count: counts[at] as number }))

test.each<[string, Buckets, Buckets, number, number | undefined]>([
  ['without samples is unknown', [], buckets(0, 0, 0, 0), 0.5, undefined],
  ['without samples since the last reading is unknown', buckets(1, 2, 3, 4), buckets(1, 2, 3, 4), 0.5, undefined],
  ['lies inside its bucket', [], buckets(0, 10, 10, 10), 0.5, 0.15],
  [
    'counts only the samples since the last reading',
    buckets(100, 100, 100, 100),
    buckets(100, 100, 110, 110),
    0.5,
    0.3,
  ],
  ['beyond the last finite bucket is the bound of that bucket', [], buckets(0, 0, 0, 5), 0.99, 0.4],
])('a quantile %s', (_what, before, after, q, expected) => {
  const found = quantile(before, after, q)
  if (expected === undefined) expect(found).toBeUndefined()
  else expect(found).toBeCloseTo(expected)
})

test('a notification is shown on one line without numbers or contacts', () => {
  const handled: Handled = { route: ROUTE, notification: makeNotification(PACKET), outcome: 'done', delayMs: 12.3 }
  const line = formatHandled(handled, new Date(2026, 0, 1, 12, 0, 5))
  expect(line).toContain('12:00:05 agents/call 1002  {"ref":"1002","number":"27*******67"')
  expect(line).toContain('"call_ref":"9007199254740993"}  done after 12 ms')
  expect(line).not.toMatch(/27821234567|778899|\n/)
})

test.each([
  ['unknown fields of an unknown type', '{"type":"sms","payload":{"to":"27821234567","by":27821234567}}'],
  ['what is not JSON', 'call 27821234567 now'],
])('%s: no number is shown', (_what, data) => {
  const other = routeOf('*', '*')
  const notification = makeNotification(data, { subject: '27821234567', reason: 'unknown_type' })
  const line = formatHandled({ route: other, notification, outcome: 'retry', delayMs: 1 }, new Date())
  expect(line).not.toContain('27821234567')
  expect(line).toContain('(unknown_type)')
})

test('no phone number is shown from an unknown field, a value that is not a scalar, or an unknown type', () => {
  const payload = {
    call_ref: '1764000000.10',
    hold_time: '27821234567 s',
    x: { to: ['27821234567'] },
    number: ['27821234567'],
  }
  const notification = makeNotification(JSON.stringify({ type: 'call', payload }), {
    type: 'enigma.27821234567.27821234567',
  })
  for (const route of [ROUTE, routeOf('*', '*')])
    expect(formatHandled({ route, notification, outcome: 'done', delayMs: 1 }, new Date())).not.toMatch(
      route === ROUTE ? /"[^"]*27821234567|\[27/ : /27821234567/,
    )
  expect(formatHandled({ route: ROUTE, notification, outcome: 'done', delayMs: 1 }, new Date())).toContain(
    '1764000000.10',
  )
})

test('a long payload is shown by its beginning and its size', () => {
  const data = JSON.stringify({
    type: 'call',
    payload: Array.from({ length: 1_000 }, () => ({ number: '27821234567' })),
  })
  const line = formatHandled(
    { route: ROUTE, notification: makeNotification(data), outcome: 'done', delayMs: 1 },
    new Date(),
  )
  expect(line.length).toBeLessThan(400)
  expect(line).toContain(`(${data.length} bytes)`)
})
