import { describe, expect, test } from 'vitest'
import { payloadsOf, scheduleOf, see, takeUntil } from '../support/simulator.ts'

/** The statuses that may follow each status, per agent and campaign. A failed login goes straight to offline. */
const NEXT: Record<string, readonly string[]> = {
  offline: ['logging_in'],
  logging_in: ['available', 'offline'],
  available: ['busy', 'logging_out'],
  busy: ['wrapup', 'logging_out'],
  wrapup: ['available'],
  logging_out: ['offline'],
}
const CAMPAIGN_NEXT: Record<string, readonly string[]> = {
  stopped: ['started'],
  completed: ['started'],
  started: ['stopping', 'completed'],
  stopping: ['stopped'],
}

describe.each([
  { agents: 1, seed: 4 },
  { agents: 40, seed: 1 },
  { agents: 120, seed: 9 },
])('an hour of $agents agents, seed $seed, and its end', ({ agents, seed }) => {
  const schedule = scheduleOf(agents, seed)
  const packets = [...takeUntil(schedule, 3_600_000), ...schedule.close()]
  const seen = packets.map(see)

  test('the statuses of an agent follow the rules of the vendor in each campaign, and the last one is offline', () => {
    const now = new Map<string, string>()
    for (const { ref, campaign_ref, status } of payloadsOf(seen, 'agents-status')) {
      const key = `${String(ref)} in ${String(campaign_ref)}`
      const before = now.get(key) ?? 'offline'
      expect(NEXT[before], `${key} after ${before}`).toContain(status)
      now.set(key, String(status))
    }
    expect(new Set(now.values())).toEqual(new Set(['offline']))
  })

  test('the statuses of a campaign follow the rules of the vendor, and agents have a status only while it runs', () => {
    const now = new Map<unknown, string>()
    for (const { routing, payload } of seen) {
      if (routing.route.name === 'agents-status')
        expect(['started', 'stopping']).toContain(now.get(payload['campaign_ref']))
      if (routing.route.name !== 'campaigns-status') continue
      const before = now.get(payload['ref']) ?? 'stopped'
      expect(CAMPAIGN_NEXT[before], `${String(payload['ref'])} after ${before}`).toContain(payload['status'])
      now.set(payload['ref'], String(payload['status']))
    }
    for (const status of now.values()) expect(['stopped', 'completed']).toContain(status)
  })

  test('a call goes to an agent without a call, is followed by the status busy, and ends with a CDR, whose copies are equal', () => {
    const open = new Map<unknown, unknown>()
    const cdrs = new Map<unknown, unknown>()
    for (const [at, { routing, payload }] of seen.entries()) {
      if (routing.route.name === 'agents-call') {
        expect([...open.values()]).not.toContain(payload['ref'])
        expect(seen[at + 1]?.payload).toMatchObject({ ref: payload['ref'], status: 'busy' })
        open.set(payload['call_ref'], payload['ref'])
      }
      if (routing.route.name === 'inbound-call') open.set(payload['call_ref'], payload['ref'])
      if (routing.route.name !== 'campaigns-cdr' || payload['extension'] === null) continue
      // After an outage, the dialler pushes some CDRs again.
      expect(payload).toEqual(cdrs.get(payload['call_ref']) ?? payload)
      cdrs.set(payload['call_ref'], payload)
      const agent = open.get(payload['call_ref'])
      if (agent !== undefined) expect(payload['extension']).toBe(agent)
      open.delete(payload['call_ref'])
    }
    expect(open.size).toBe(0)
  })

  test('an agent who talks leaves no other campaign meanwhile', () => {
    const talking = new Map<unknown, unknown>()
    const callOf = new Map<unknown, unknown>()
    for (const { routing, payload } of seen) {
      const { ref, status, campaign_ref, call_ref } = payload
      if (routing.route.name === 'agents-call') callOf.set(call_ref, ref)
      if (routing.route.name === 'campaigns-cdr') talking.delete(callOf.get(call_ref))
      if (routing.route.name !== 'agents-status') continue
      if (status === 'busy') talking.set(ref, campaign_ref)
      if (!talking.has(ref) || !['wrapup', 'logging_out', 'offline'].includes(String(status))) continue
      expect(campaign_ref).toBe(talking.get(ref))
      talking.delete(ref)
    }
  })

  test('the call_refs of the CDRs are consecutive numbers without a gap', () => {
    const refs = new Set(payloadsOf(seen, 'campaigns-cdr').map(({ call_ref }) => Number(call_ref)))
    expect(Math.max(...refs) - Math.min(...refs) + 1).toBe(refs.size)
  })

  test("an agent's figures go down only after a new login", () => {
    const last = new Map<unknown, Record<string, unknown>>()
    for (const { routing, payload } of seen) {
      if (routing.route.name === 'agents-status' && payload['status'] === 'logging_in') last.delete(payload['ref'])
      if (routing.route.name !== 'agents-stats') continue
      const before = last.get(payload['ref']) ?? {}
      for (const name of ['calls', 'talk_time', 'wrapup_time', 'idle_time']) {
        expect(payload[name]).toBeGreaterThanOrEqual(Number(before[name] ?? 0))
      }
      last.set(payload['ref'], payload)
    }
  })

  test("a campaign's callees are each in one state, and its calls in one column or under way", () => {
    const lists = new Map<unknown, Set<number>>()
    for (const stats of payloadsOf(seen, 'campaigns-stats')) {
      const of = (...names: string[]) => names.reduce((sum, name) => sum + Number(stats[name]), 0)
      const callees = of('callees_remaining', 'callees_queued', 'callees_completed', 'callees_failed')
      lists.set(stats['ref'], (lists.get(stats['ref']) ?? new Set()).add(callees))
      expect(of('answered', 'unanswered', 'dropped', 'rejected', 'failed')).toBeLessThanOrEqual(
        Number(stats['total_calls']),
      )
    }
    // The length of a list is the same as long as the list is dialled; some lists are dialled in an hour.
    for (const lengths of lists.values()) expect(lengths.size).toBeLessThan(8)
  })

  test('a preview lists at most two contacts per active agent, and over 30 % of the dialled contacts were in a preview', () => {
    const active = new Map<unknown, Map<unknown, boolean>>()
    for (const { routing, payload } of seen) {
      if (routing.route.name === 'agents-status') {
        const of = active.get(payload['campaign_ref']) ?? new Map<unknown, boolean>()
        active.set(payload['campaign_ref'], of.set(payload['ref'], payload['status'] !== 'offline'))
      }
      if (routing.route.name !== 'campaigns-dial_preview') continue
      const present = [...(active.get(payload['ref'])?.values() ?? [])].filter(Boolean).length
      expect((payload['callees'] as unknown[]).length).toBeLessThanOrEqual(2 * present)
    }
    const callees = payloadsOf(seen, 'campaigns-dial_preview').flatMap(
      (preview) => preview['callees'] as { contact_ref: string }[],
    )
    const previewed = new Set(callees.map(({ contact_ref }) => contact_ref))
    const dialled = payloadsOf(seen, 'campaigns-cdr').filter(({ ref }) => ref !== 'click2dial')
    const known = dialled.filter(({ contact_ref }) => previewed.has(String(contact_ref))).length
    expect(known / dialled.length).toBeGreaterThan(0.3)
  })

  test('only a call with a call_time has a recording, and a call without an agent lasts at most 20 s', () => {
    for (const { call_time, recording_url, extension, number } of payloadsOf(seen, 'campaigns-cdr')) {
      expect(recording_url !== null).toBe(Number(call_time) > 0)
      if (recording_url !== null) expect(recording_url).toContain(number)
      if (extension === null) expect(Number(call_time)).toBeLessThanOrEqual(20)
    }
  })
})
