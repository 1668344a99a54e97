import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { SIMULATOR_LISTS } from '../../src/simulator/simulator.ts'
import { END_REASONS, OTHER, PAYLOADS, RELAY_TYPE } from '../../src/protocol/index.ts'
import { payloadsOf, scheduleOf, see, START_MS, takeUntil } from '../support/simulator.ts'

const HOUR_MS = 3_600_000
const SEEDS = [1, 2, 3]
const hours = SEEDS.map((seed) => ({ seed, packets: takeUntil(scheduleOf(40, seed), HOUR_MS) }))

test('the same agents and seed give the same packets, another seed gives others', () => {
  const [first] = hours
  expect(takeUntil(scheduleOf(40, 1), HOUR_MS)).toEqual(first?.packets)
  expect(takeUntil(scheduleOf(40, 2), 60_000)).not.toEqual(takeUntil(scheduleOf(40, 1), 60_000))
})

test.each([1, 2, 7, 40, 300])(
  'with %i agents time never goes back, and the first packet says that the dialler has started',
  (agents) => {
    const packets = takeUntil(scheduleOf(agents, 5), 300_000)
    expect(packets[0]?.outgoing.packet).toEqual({ type: 'status', payload: { ref: 'dialler-1', status: 'started' } })
    for (const [at, event] of packets.entries()) expect(event.atMs).toBeGreaterThanOrEqual(packets[at - 1]?.atMs ?? 0)
  },
)

describe.each(hours)('an hour of 40 agents, seed $seed', ({ packets }) => {
  const seen = packets.map(see)

  test('has every sub_type, all of them within the first 15 seconds', () => {
    const soon = new Set(seen.filter(({ atMs }) => atMs <= 15_000).map(({ routing }) => routing.route.name))
    // No dialler sends the relay's own notices; other sub_types than the documented ones go to `other`.
    const documented = Object.keys(PAYLOADS).filter((name) => !name.startsWith(`${RELAY_TYPE}-`))
    expect([...soon].toSorted()).toEqual([...documented, OTHER.name].toSorted())
  })

  test('has most agents available within the first 10 seconds', () => {
    const statuses = payloadsOf(
      seen.filter(({ atMs }) => atMs <= 10_000),
      'agents-status',
    )
    expect(new Set(statuses.filter(({ status }) => status === 'available').map(({ ref }) => ref)).size).toBeGreaterThan(
      28,
    )
  })

  test('has only packets that fit the schema of their route, except those meant to be odd', () => {
    for (const { routing, payload } of seen) {
      if (routing.route.name === 'other') continue
      const schema = PAYLOADS[routing.route.name as keyof typeof PAYLOADS]
      expect(v.safeParse(schema, payload).issues, routing.route.name).toBeUndefined()
    }
  })

  test('has every end reason with a Q.850 code of its own', () => {
    const codes = new Map<unknown, Set<unknown>>()
    for (const { end_reason, end_code } of payloadsOf(seen, 'campaigns-cdr')) {
      const set = codes.get(end_reason) ?? new Set()
      codes.set(end_reason, set.add(end_code))
    }
    expect(new Set(codes.keys())).toEqual(new Set(END_REASONS))
    const sorted = (reason: string) => [...(codes.get(reason) ?? [])].map(Number).toSorted((a, b) => a - b)
    expect({
      hungup: sorted('hungup'),
      busy: sorted('busy'),
      reject: sorted('reject'),
      timeout: sorted('timeout'),
    }).toEqual({
      hungup: [0, 16],
      busy: [17],
      reject: [19, 21, 22],
      timeout: [18, 102],
    })
  })

  test('has every kind of odd packet, malformed ones on both transports', () => {
    const faults = (transport: string) =>
      new Set(
        packets.filter((event) => event.outgoing.transport === transport).flatMap((event) => see(event).fault ?? []),
      )
    const all = ['empty', 'no_type', 'not_json', 'not_object', 'not_utf8', 'type_not_string']
    expect([...faults('list')].toSorted()).toEqual(all)
    expect([...faults('pubsub')].toSorted()).toEqual(all)
    const unknown = seen.filter(({ routing, fault }) => routing.route.name === 'other' && fault === undefined)
    const names = new Set(unknown.map(({ routing }) => `${routing.type}/${routing.subType}`))
    expect(names).toEqual(new Set(['agents/whisper', 'campaigns/survey', 'trunks/status', 'unknown/notice']))
  })

  test('has the singular key now and then, and pushes to no list but its own', () => {
    const keys = packets.map(({ outgoing }) => outgoing)
    const singular = keys.filter(({ key }) => key.startsWith('enigma:notifications:agent:')).length
    expect(singular).toBeGreaterThan(0)
    expect(singular).toBeLessThan(packets.length / 100)
    const lists = new Set(keys.filter(({ transport }) => transport === 'list').map(({ key }) => key))
    expect([...lists].toSorted()).toEqual([...SIMULATOR_LISTS].toSorted())
  })

  test('has the proportions of a real call centre', () => {
    const cdrs = payloadsOf(seen, 'campaigns-cdr')
    const perAgentSecond = (count: number) => count / 3_600 / 40
    expect(perAgentSecond(packets.length)).toBeGreaterThan(0.09)
    expect(perAgentSecond(packets.length)).toBeLessThan(0.16)
    expect(perAgentSecond(cdrs.length)).toBeGreaterThan(0.03)
    expect(perAgentSecond(cdrs.length)).toBeLessThan(0.06)
    const withAgent = cdrs.filter(({ extension }) => extension !== null).length / cdrs.length
    expect(withAgent).toBeGreaterThan(0.15)
    expect(withAgent).toBeLessThan(0.3)
    const other = payloadsOf(seen, 'other').length / packets.length
    expect(other).toBeGreaterThan(0.001)
    expect(other).toBeLessThan(0.01)
    const again = 1 - new Set(cdrs.map(({ call_ref }) => call_ref)).size / cdrs.length
    expect(again).toBeGreaterThan(0.001)
    expect(again).toBeLessThan(0.03)
  })

  test('has campaigns that stop and campaigns that complete, and start again', () => {
    const statuses = payloadsOf(seen, 'campaigns-status').map(({ status }) => status)
    const count = (word: string) => statuses.filter((status) => status === word).length
    expect(count('completed')).toBeGreaterThan(0)
    expect(count('stopped')).toBeGreaterThan(0)
    expect(count('started')).toBeGreaterThan(3)
  })

  test('has dialed_at within the hour, in unix seconds, and the same call_ref only with the same content', () => {
    const byRef = new Map<unknown, Record<string, unknown>>()
    for (const record of payloadsOf(seen, 'campaigns-cdr')) {
      expect(record['dialed_at']).toBeGreaterThanOrEqual(START_MS / 1_000 - 15)
      expect(record['dialed_at']).toBeLessThanOrEqual((START_MS + HOUR_MS) / 1_000 + 60)
      expect(byRef.get(record['call_ref']) ?? record).toEqual(record)
      byRef.set(record['call_ref'], record)
    }
  })
})
