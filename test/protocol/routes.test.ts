import { expect, test } from 'vitest'
import {
  deadLetterQueueName,
  OTHER,
  PAYLOADS,
  queueName,
  routePacket,
  visibilitySeconds,
} from '../../src/protocol/index.ts'
import { routeOf, ROUTES } from '../support/routes.ts'

/** The routes of the dialler's documented sub_types and of the relay. `functions/` may declare more. */
const DOCUMENTED = ROUTES.all.filter(({ name }) => Object.hasOwn(PAYLOADS, name))

test('names are unique, and SQS takes the names of all queues', () => {
  const names = ROUTES.all.flatMap((route) => [queueName('enigma-', route), deadLetterQueueName('enigma-', route)])
  expect(new Set(names).size).toBe(names.length)
  for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_-]{1,75}\.fifo$/)
  expect(names).toContain('enigma-campaigns-dial_preview.fifo')
  expect(names).toContain('enigma-other-dlq.fifo')
})

test('every documented sub_type has a route, and only calls grow stale', () => {
  expect(DOCUMENTED.map(({ name }) => name).toSorted()).toEqual(Object.keys(PAYLOADS).toSorted())
  expect(
    DOCUMENTED.filter((route) => route.maxAgeMs !== undefined).map((route) => [route.name, route.maxAgeMs]),
  ).toEqual([
    ['agents-call', 30_000],
    ['inbound-call', 30_000],
  ])
  // Short, so that a neighbour that hangs or is retried makes no call stale.
  for (const route of DOCUMENTED.filter(({ maxAgeMs }) => maxAgeMs !== undefined))
    expect([route.handlerSeconds, route.retrySeconds]).toEqual([5, 5])
  // The lane of a call waits this long if its function is killed midway.
  for (const route of DOCUMENTED.filter(({ maxAgeMs }) => maxAgeMs !== undefined))
    expect(visibilitySeconds(route)).toBe(60)
  expect(routeOf('agents', 'call').name).toBe('agents-call')
  expect(ROUTES.find('agents', 'cdr')).toBeUndefined()
})

test('routes for which an agent waits do not linger, agents/status lingers for 100 ms, and statistics, CDRs and dial previews for 1 s', () => {
  expect(Object.fromEntries(DOCUMENTED.map(({ name, lingerMs }) => [name, lingerMs]).filter(([, ms]) => ms))).toEqual({
    'agents-status': 100,
    'agents-stats': 1_000,
    'campaigns-cdr': 1_000,
    'campaigns-dial_preview': 1_000,
    'campaigns-stats': 1_000,
  })
  expect(OTHER.lingerMs).toBe(0)
})

test('messages stay in SQS for 3 hours of an outage (45 minutes on user-facing routes); a failing handler is retried for under 15 minutes', () => {
  const lasts = (tries: number, longestSeconds: number) =>
    Array.from({ length: tries - 1 }, (_, at) => Math.min(2 ** at, longestSeconds)).reduce(
      (sum, pause) => sum + pause,
      0,
    )
  for (const { name, attempts, maxReceiveCount, outageSeconds, retrySeconds } of [...DOCUMENTED, OTHER]) {
    expect(lasts(maxReceiveCount, outageSeconds), name).toBeGreaterThan(outageSeconds < 300 ? 45 * 60 : 3 * 3_600)
    expect(lasts(attempts, retrySeconds), name).toBeLessThan(15 * 60)
  }
  expect(routeOf('agents', 'call').outageSeconds).toBe(30)
})

const N = 'enigma:notifications'
test.each([
  [`${N}:agents:1002`, 'status', { name: 'agents-status', type: 'agents', subType: 'status', reference: '1002' }],
  [`${N}:agent:1002`, 'call', { name: 'agents-call', type: 'agents', subType: 'call', reference: '1002' }],
  [`${N}:campaigns`, 'cdr', { name: 'campaigns-cdr', type: 'campaigns', subType: 'cdr' }],
  [
    `${N}:campaign:12`,
    'dial_preview',
    { name: 'campaigns-dial_preview', type: 'campaigns', subType: 'dial_preview', reference: '12' },
  ],
  [`${N}:cdr`, 'cdr', { name: 'campaigns-cdr', type: 'campaigns', subType: 'cdr' }],
  [`${N}:inbound`, 'call', { name: 'inbound-call', type: 'inbound', subType: 'call' }],
  [`${N}:dialers`, 'status', { name: 'dialers-status', type: 'dialers', subType: 'status' }],
  [
    `${N}:agents:1002`,
    'mood',
    { name: 'other', type: 'agents', subType: 'mood', reference: '1002', reason: 'unknown_type' },
  ],
  [`${N}:cdr`, 'status', { name: 'other', type: 'cdr', subType: 'status', reason: 'unknown_type' }],
  [N, 'status', { name: 'other', type: 'unknown', subType: 'status', reason: 'no_key_type' }],
  ['elsewhere', 'status', { name: 'other', type: 'unknown', subType: 'status', reason: 'key_outside_scheme' }],
  [`${N}:a.b:1`, 'x/y', { name: 'other', type: 'unknown', subType: 'unknown', reference: '1', reason: 'unknown_type' }],
  [`${N}:*`, '*', { name: 'other', type: 'unknown', subType: 'unknown', reason: 'unknown_type' }],
])('%s with %s', (key, subType, expected) => {
  const { route, ...rest } = routePacket(ROUTES, key, subType)
  expect({ name: route.name, ...rest }).toEqual(expected)
})

test('a packet that cannot be read goes to other with its fault', () => {
  expect(routePacket(ROUTES, `${N}:agents:1002`, undefined, 'not_json')).toEqual({
    route: OTHER,
    type: 'agents',
    subType: 'unknown',
    reference: '1002',
    reason: 'not_json',
  })
})
