import { expect, test } from 'vitest'
import { agentStatus, cdr } from '../../src/store/index.ts'
import { dayOf } from '../../src/store/reads/figures.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, nextId, toEvent } from './events.ts'

const DONE = new Map<string, string[]>()
const status = (ref: string, word: string, campaign: string, at = 1) =>
  agentStatus(toEvent('agents', 'status', ref, { status: word, campaign_ref: campaign }, at))

test("a campaign shows its agents by status, and what the CDRs of today in the stack's time zone come to", async () => {
  const timeZone = 'Asia/Kathmandu'
  const { fromMs, toMs } = dayOf(timeZone, BASE_MS)
  const { store } = await useStore({ timeZone, now: () => BASE_MS })
  const tried = (callRef: string, dialedMs: number, own: Record<string, unknown> = {}, at = 1) =>
    cdr(
      toEvent(
        'campaigns',
        'cdr',
        undefined,
        { call_ref: callRef, dialed_at: dialedMs / 1_000, ref: 'c1', end_reason: 'busy', extension: null, ...own },
        at,
        { transport: 'list', id: nextId() },
      ),
    )
  const answered = { extension: '1', end_reason: 'hungup', call_time: 30, hold_time: 4 }
  await store.commit({
    effects: [
      status('1', 'busy', 'c1'),
      status('2', 'busy', 'c1'),
      status('2', 'available', 'c2'),
      tried('1', fromMs),
      tried('2', fromMs, answered),
      tried('3', fromMs + 60_000, { ...answered, call_time: 45, hold_time: 1 }),
      // No call was talked on: nobody had it, or not at all.
      tried('4', fromMs, { extension: '1', call_time: 0 }),
      tried('yesterday', fromMs - 1_000, answered),
      tried('tomorrow', Math.min(toMs, BASE_MS + 20 * 3_600_000), {
        ...answered,
        ref: toMs < BASE_MS + 20 * 3_600_000 ? 'c1' : 'c9',
      }),
    ],
    done: DONE,
  })
  const today = {
    since: new Date(fromMs).toISOString(),
    cdrs: 4,
    end_reasons: { busy: 2, hungup: 2 },
    answered: 2,
    average_talk_time: 37.5,
    average_hold_time: 2.5,
  }
  const { items } = await store.read.campaigns()
  expect(items.find(({ ref }) => ref === 'c1')).toMatchObject({ today, agents: { busy: 2 } })
  expect(await store.read.campaign('c1')).toMatchObject({ today })
  // A revision counts in the place of what it revises.
  await store.commit({ effects: [tried('2', fromMs, { ...answered, call_time: 130 }, 2)], done: DONE })
  expect(await store.read.campaign('c1')).toMatchObject({ today: { ...today, average_talk_time: 87.5 } })
})

test.each([
  ['UTC', '2026-03-29T12:00:00Z', '2026-03-29T00:00:00Z', '2026-03-30T00:00:00Z'],
  // Clocks are put forward at one in the night, and back at the end of October.
  ['Europe/Berlin', '2026-03-29T12:00:00Z', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z'],
  ['Europe/Berlin', '2026-10-25T22:30:00Z', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z'],
  ['Asia/Kolkata', '2026-11-29T20:00:00Z', '2026-11-29T18:30:00Z', '2026-11-30T18:30:00Z'],
  ['Pacific/Kiritimati', '2026-11-29T09:59:59Z', '2026-11-28T10:00:00Z', '2026-11-29T10:00:00Z'],
])('the day of %s at %s is from %s to %s', (timeZone, at, from, to) => {
  expect(dayOf(timeZone, Date.parse(at))).toEqual({ fromMs: Date.parse(from), toMs: Date.parse(to) })
})
