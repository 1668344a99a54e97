import type { Notification, RelayCommand } from 'enigma-relay/protocol'
import {
  cdr,
  relayParked,
  type AuditPage,
  type Moved,
  type ParkedDetail,
  type ParkedGroups,
  type ParkedPage,
  type Replay,
  type ReplayDetail,
  type ReplayPlan,
} from 'enigma-relay/store'
import { expect, it, vi } from 'vitest'
import { claimEntries, stopReplay } from '../../src/store/effects/operator-effects.ts'
import { settleEntry, toOutcomeEffects } from '../../src/store/effects/park-effects.ts'
import { notification } from '../adapter/factories.ts'
import { notice, useApi } from './api-world.ts'

const TOKENS = 'jane:operate:operate-token-of-the-test-of-32-c\nbob:read:read-token-of-the-test-of-32-chars'
const as = (role: 'operate' | 'read') => ({
  authorization: `Bearer ${role === 'operate' ? 'operate-token-of-the-test-of-32-c' : 'read-token-of-the-test-of-32-chars'}`,
})
const NUMBER = '27821234567'
const BASE_MS = Date.now() - 3600_000

async function useOperators(options: { readonly corsOrigin?: string } = {}) {
  const [sendStep, drain] = [vi.fn<(job: string) => Promise<void>>(), vi.fn<() => Promise<void>>()]
  const sendCommand = vi.fn<(command: RelayCommand) => Promise<void>>()
  const world = await useApi({ tokens: TOKENS, ...options })
  // The API over the same store, with what it needs to write.
  const { createApi } = await import('../../src/api/index.ts')
  const { read, commit } = world.store
  const app = createApi({ read, tokens: TOKENS, ...options, replay: { commit, sendStep, sendCommand, drain } })
  const ask = async <Answer>(
    path: string,
    {
      body,
      role = 'operate',
      headers = {},
    }: { body?: unknown; role?: 'operate' | 'read'; headers?: Record<string, string> } = {},
  ) => {
    const isWrite = body !== undefined
    const response = await app.request(path, {
      ...(isWrite ? { method: 'POST', body: JSON.stringify(body) } : {}),
      headers: { ...as(role), ...(isWrite ? { 'content-type': 'application/json' } : {}), ...headers },
    })
    return { status: response.status, answer: (await response.json()) as Answer & { detail: string } }
  }
  return {
    ...world,
    ask,
    sendStep,
    sendCommand,
    drain,
    park: async (second: number, one: Notification, own: object = {}) =>
      world.commit(
        ...(await toOutcomeEffects(
          {
            parked: [
              {
                route: 'agents-status',
                eventSourceARN: 'arn:aws:sqs:us-east-1:000000000000:enigma-agents-status.fifo',
                key: one.id,
                notification: one,
                reason: '422: call_ref is missing',
                attempts: 1,
                messageId: `m${second}`,
                messageGroupId: '17',
                ...own,
              },
            ],
            failed: [],
            replayed: [],
          },
          BASE_MS + second * 1000,
        )),
      ),
  }
}

it('the content of a parked entry is masked until an operator reveals it, and the audit log records that', async () => {
  const { ask, park } = await useOperators()
  await park(1, notification('1002', 1, { payload: { number: NUMBER, status: 'busy' } }))
  const { answer: list } = await ask<ParkedPage>('/parked')
  const path = `/parked/${list.items[0]?.id}`
  for (const role of ['operate', 'read'] as const) {
    const { answer } = await ask<ParkedDetail>(path, { role })
    expect(JSON.stringify(answer)).not.toContain(NUMBER)
    expect(answer.content?.masked).toBe(true)
  }
  expect((await ask(`${path}?reveal=true`, { role: 'read' })).status).toBe(403)
  expect((await ask<AuditPage>('/audit')).answer.items).toEqual([])
  const { answer } = await ask<ParkedDetail>(`${path}?reveal=true`)
  expect(answer.content).toEqual({ text: expect.stringContaining(NUMBER) as string, masked: false })
  expect((await ask<AuditPage>('/audit', { role: 'read' })).answer.items).toMatchObject([
    { operator: 'jane', action: 'reveal', what: list.items[0]?.id, count: 1 },
  ])
  expect((await ask('/parked/none?reveal=true')).status).toBe(404)
})

it('operators delete entries by ids or by a filter and restore them; the role read may not delete', async () => {
  const { ask, park } = await useOperators()
  for (let at = 1; at <= 6; at++)
    await park(at, notification('1002', at), at > 4 ? { reason: '409: it was closed' } : {})
  const idsOf = async (path: string) => (await ask<ParkedPage>(path)).answer.items.map(({ id }) => id)
  const all = await idsOf('/parked')
  expect((await ask('/parked/delete', { body: { filter: {} }, role: 'read' })).status).toBe(403)
  const { answer: first } = await ask('/parked/delete', { body: { ids: [all[0], all[0], 'none'] } })
  expect(first).toEqual({ moved: 1, skipped: 1, asked: 0, more: false })
  const { answer: rest } = await ask('/parked/delete', { body: { filter: { reason: 'CALL_REF' } } })
  expect(rest).toEqual({ moved: 4, skipped: 0, asked: 0, more: false, until: expect.any(String) as string })
  expect(await idsOf('/parked')).toEqual([all[1]])
  expect(new Set(await idsOf('/bin'))).toEqual(new Set([all[0], ...all.slice(2)]))
  const { answer: back } = await ask('/bin/restore', { body: { ids: [...all.slice(2), 'none'] } })
  expect(back).toEqual({ moved: 4, skipped: 1, more: false })
  // The entries are back in their places.
  expect(await idsOf('/parked')).toEqual(all.slice(1))
  expect((await ask<AuditPage>('/audit')).answer.items.map(({ action, count }) => [action, count])).toEqual([
    ['restore', 5],
    ['delete', 4],
    ['delete', 2],
  ])
  for (const body of [{}, { ids: [] }, { ids: ['a'], filter: {} }, { filter: { rout: 'x' } }, { ids: 'a' }])
    expect((await ask('/parked/delete', { body })).status).toBe(400)
})

it('the cause of a group matches exactly its entries, in lists, plans and deletions', async () => {
  const { ask, park } = await useOperators()
  const reasons = ['422: call 17 of "Ann" is late', '422: call 18 of "Bob" is late', '422: call 19 of "Bob" is later']
  for (const [at, reason] of reasons.entries()) await park(at, notification('1002', at), { reason })
  const { answer } = await ask<ParkedGroups>('/parked/groups')
  const cause = '422: call # of … is late'
  expect(answer.groups.map((group) => [group.cause, group.count])).toEqual([
    [cause, 2],
    ['422: call # of … is later', 1],
  ])
  const found = await ask<ParkedPage>(`/parked?${new URLSearchParams({ cause }).toString()}`)
  expect(found.answer.items.map(({ reason }) => reason)).toEqual([reasons[1], reasons[0]])
  expect((await ask<ReplayPlan>('/replays', { body: { filter: { cause }, plan: true } })).answer.total).toBe(2)
  expect((await ask<Moved>('/parked/delete', { body: { filter: { cause } } })).answer.moved).toBe(2)
  const { answer: left } = await ask<ParkedPage>('/parked')
  expect(left.items.map(({ reason }) => reason)).toEqual([reasons[2]])
})

it('a replay with the until of its plan leaves out entries that were parked after the plan', async () => {
  const { ask, commit, store, park } = await useOperators()
  await park(1, notification('1002', 1))
  const { answer: plan } = await ask<ReplayPlan>('/replays', { body: { filter: {}, plan: true } })
  // After the plan, and before the replay.
  await new Promise((resolve) => setTimeout(resolve, 5))
  await park((Date.now() - BASE_MS) / 1000, notification('1002', 2))
  const { answer: job } = await ask<Replay>('/replays', { body: { filter: { until: plan.until } } })
  const progress = await store.read.replayProgress(job.id)
  const { ids } = await store.read.findParked(progress?.filter ?? {}, '')
  expect(ids).toHaveLength(1)
  await commit(stopReplay(job.id))
})

it('the messages of a replay are filtered by outcome, across its pages', async () => {
  const { ask, park, commit } = await useOperators()
  for (let at = 1; at <= 7; at++) await park(at, notification('1002', at))
  const { answer: list } = await ask<ParkedPage>('/parked')
  const ids = list.items.map(({ id }) => id).toReversed()
  const { answer: job } = await ask<Replay>('/replays', { body: { ids } })
  await commit(claimEntries(job.id, 6))
  for (const at of [0, 2, 4, 5])
    await commit(
      settleEntry({ job: job.id, entry: ids[at] ?? '', outcome: at === 2 ? 'handled' : 'failed', why: 'no' }, 1),
    )
  const page = async (query: string) => (await ask<ReplayDetail>(`/replays/${job.id}?${query}`)).answer.messages
  expect((await page('outcome=handled')).items.map(({ id }) => id)).toEqual([ids[2]])
  expect((await page('outcome=waiting')).items.map(({ id }) => id)).toEqual([ids[6]])
  const first = await page('outcome=failed_again&limit=2')
  expect(first.items.map(({ id }) => id)).toEqual([ids[0], ids[4]])
  const second = await page(`outcome=failed_again&limit=2&cursor=${first.next}`)
  expect(second.items.map(({ id, reason }) => [id, reason])).toEqual([[ids[5], 'no']])
  expect((await ask(`/replays/${job.id}?outcome=lost`)).status).toBe(400)
})

it('a plan counts what a replay would do, and sends nothing', async () => {
  const { ask, park, sendStep, commit } = await useOperators()
  const old = new Date(BASE_MS - 60_000).toISOString()
  await park(1, notification('1002', 1, { type: 'enigma.agents.call', time: old }), { route: 'agents-call' })
  // maxwaitms, the longest possible wait in Redis, does not make an entry stale.
  await park(2, notification('1002', 2, { time: old, maxwaitms: 1_000 }))
  // Older than the limit of its route.
  await park(3, notification('1003', 3, { time: old }), { maxAgeMs: 3_000 })
  await park(4, notification('1003', 4, { time: new Date(BASE_MS).toISOString() }), { maxAgeMs: 14 * 24 * 3_600_000 })
  // The agent's state is newer by now.
  const { agentStatus } = await import('enigma-relay/store')
  await commit(agentStatus(notice({ status: 'busy', campaign_ref: '7' }, { reference: '1002' })))
  const { status, answer } = await ask<ReplayPlan>('/replays', { body: { filter: {}, plan: true } })
  expect([status, answer]).toEqual([
    200,
    {
      total: 4,
      routes: { 'agents-call': 1, 'agents-status': 3 },
      relay: 0,
      stale: 2,
      outdated: 1,
      replayed_before: 0,
      skipped: 0,
      complete: true,
      until: expect.any(String) as string,
    },
  ])
  expect((await ask<ReplayPlan>('/replays', { body: { ids: ['none'], plan: true } })).answer).toMatchObject({
    total: 0,
    skipped: 1,
  })
  expect(sendStep).not.toHaveBeenCalled()
  expect((await ask<AuditPage>('/audit')).answer.items).toEqual([])
})

it('a separate replay sends CDRs again and requires their route, and groups are separate per cause', async () => {
  const { ask, park, commit, sendStep } = await useOperators()
  await commit(
    cdr(notice({ call_ref: '1', dialed_at: BASE_MS / 1000, ref: '7' }, { type: 'campaigns', subType: 'cdr' })),
  )
  const meant = { cdrs: { campaign: '7' }, route: 'campaigns-cdr' }
  const planned = await ask<ReplayPlan>('/replays', { body: { ...meant, plan: true } })
  expect([planned.status, planned.answer]).toMatchObject([200, { total: 1, routes: { 'campaigns-cdr': 1 }, relay: 0 }])
  const none = await ask<ReplayPlan>('/replays', { body: { ...meant, cdrs: { campaign: '8' }, plan: true } })
  expect(none.answer).toMatchObject({ total: 0, routes: {}, complete: true })
  expect(sendStep).not.toHaveBeenCalled()
  const started = await ask<{ cdrs: object }>('/replays', {
    body: { cdrs: { from: '2026-01-31T08:00:00Z', campaign: '7' }, route: 'campaigns-cdr' },
  })
  expect(started.status).toBe(202)
  expect(started.answer.cdrs).toMatchObject({ route: 'campaigns-cdr', from: '2026-01-31T08:00:00.000Z', campaign: '7' })
  expect(sendStep).toHaveBeenCalledTimes(1)
  for (const body of [
    { cdrs: {} },
    { cdrs: {}, route: 'agents-call' },
    { cdrs: { number: '1' }, route: 'campaigns-cdr' },
  ])
    expect((await ask('/replays', { body })).status).toBe(400)

  await park(1, notification('1002', 1), { reason: '500: no row with id 17 in "calls"' })
  await park(2, notification('1002', 2), { reason: '500: no row with id 18 in "agents"' })
  await park(3, notification('1002', 3))
  const { answer } = await ask<{ groups: object[] }>('/parked/groups?since=2026-01-01')
  expect(answer).toMatchObject({
    matching: 3,
    complete: true,
    groups: [
      { cause: '500: no row with id # in …', count: 2 },
      { cause: '422: call_ref is missing', count: 1 },
    ],
    queues: [{ route: 'agents-status', count: 3 }],
  })
  const counted = await ask<ParkedPage>('/parked?counts=true&limit=1&reason=no%20row')
  expect(counted.answer).toMatchObject({
    counts: { 'agents-status': 2 },
    items: [{ reason: expect.any(String) as string }],
  })
  expect((await ask<ParkedPage>('/parked')).answer).not.toHaveProperty('counts')
})

it('a page may write only from the same origin or a listed one, even if any origin may read', async () => {
  const { ask, drain } = await useOperators({ corsOrigin: '*, https://console.example.com' })
  const from = (site: string, origin?: string) =>
    ask('/parked/drain', {
      body: {},
      headers: { 'sec-fetch-site': site, ...(origin === undefined ? {} : { origin }) },
    })
  expect((await from('cross-site', 'https://evil.example.com')).status).toBe(403)
  expect((await from('same-site', 'https://other.example.com')).status).toBe(403)
  expect((await from('cross-site')).status).toBe(403)
  expect(drain).not.toHaveBeenCalled()
  expect((await from('cross-site', 'https://console.example.com')).status).toBe(200)
  expect((await from('same-origin')).status).toBe(200)
  expect((await from('none')).status).toBe(200)
  expect((await ask('/parked', { headers: { 'sec-fetch-site': 'cross-site' } })).status).toBe(200)
  expect(drain).toHaveBeenCalledTimes(3)
  drain.mockRejectedValueOnce(new Error('SQS is away'))
  expect((await from('none')).status).toBe(503)
})

/** The relay's notice of an entry that it parked at this second. */
const ofRelay = (second: number, source = 'main') => {
  const parkedat = new Date(BASE_MS + second * 1000).toISOString()
  const [id, reason, detail, type] = [`${source}/l/1/${second}`, 'too_large', 'too large', 'enigma.campaigns.cdr']
  const payload = {
    source,
    id,
    state: 'parked' as const,
    route: 'campaigns-cdr',
    reason,
    detail,
    type,
    bytes: 2_000_000,
  }
  return relayParked(
    notice({ ...payload, received: parkedat, parkedat }, { type: 'relay', subType: 'parked', transport: 'relay' }),
  )
}

it('a replay sends entries of the relay by one command per source, oldest first, and entries of functions itself', async () => {
  const { ask, park, commit, sendStep, sendCommand } = await useOperators()
  await commit(...[3, 1, 2].map((second) => ofRelay(second)), ofRelay(4, 'second'))
  await park(5, notification('1002', 1))
  const { answer: list } = await ask<ParkedPage>('/parked')
  const ids = list.items.map(({ id }) => id)
  expect((await ask<ReplayPlan>('/replays', { body: { ids: [...ids, 'none'], plan: true } })).answer).toMatchObject({
    total: 1,
    relay: 4,
    skipped: 1,
  })
  expect((await ask<ReplayPlan>('/replays', { body: { filter: { from: 'relay' }, plan: true } })).answer).toMatchObject(
    {
      total: 0,
      relay: 4,
    },
  )
  expect(sendCommand).not.toHaveBeenCalled()
  const mixed = await ask<Replay>('/replays', { body: { ids } })
  expect([mixed.status, mixed.answer]).toMatchObject([
    202,
    { state: 'running', relay: 4, counts: { waiting: 1, skipped: 0 } },
  ])
  const commands = () => sendCommand.mock.calls.map(([command]) => command)
  expect(commands()).toEqual([
    { action: 'retry', source: 'main', ids: ['main/l/1/1', 'main/l/1/2', 'main/l/1/3'], operator: 'jane' },
    { action: 'retry', source: 'second', ids: ['second/l/1/4'], operator: 'jane' },
  ])
  expect(sendStep).toHaveBeenCalledTimes(1)
  sendCommand.mockClear()
  const filtered = await ask<Replay>('/replays', { body: { filter: { from: 'relay', source: 'second' } } })
  expect(filtered.answer).toMatchObject({ state: 'done', relay: 1, filter: { from: 'relay', source: 'second' } })
  expect(commands()).toMatchObject([{ action: 'retry', source: 'second' }])
  expect(sendStep).toHaveBeenCalledTimes(1)
  // A filter without `from` means functions, as before.
  sendCommand.mockClear()
  await ask('/replays', { body: { filter: {} } })
  expect(sendCommand).not.toHaveBeenCalled()
  expect((await ask<AuditPage>('/audit')).answer.items.map(({ action, count }) => [action, count])).toEqual([
    ['replay', null],
    ['replay', 1],
    ['replay', 5],
  ])
})

it('deleting entries of the relay needs forever: true and sends a drop command; those of functions go to the bin', async () => {
  const { ask, park, commit, sendCommand } = await useOperators()
  await commit(ofRelay(1), ofRelay(2))
  await park(5, notification('1002', 1))
  const ids = (await ask<ParkedPage>('/parked')).answer.items.map(({ id }) => id)
  for (const body of [{ ids }, { filter: { from: 'relay' } }]) {
    const refused = await ask<{ parameter: string }>('/parked/delete', { body })
    expect([refused.status, refused.answer.parameter]).toEqual([400, 'forever'])
    expect(refused.answer.detail).toContain('"forever": true')
  }
  expect((await ask('/parked/delete', { body: { ids, forever: false } })).status).toBe(400)
  expect(
    (await ask('/parked/delete', { body: { filter: { from: 'relay' }, forever: true }, role: 'read' })).status,
  ).toBe(403)
  expect(sendCommand).not.toHaveBeenCalled()
  expect((await ask<AuditPage>('/audit')).answer.items).toEqual([])
  const { answer } = await ask('/parked/delete', { body: { ids: [...ids, 'none'], forever: true } })
  expect(answer).toEqual({ moved: 1, skipped: 1, asked: 2, more: false })
  expect(sendCommand.mock.calls).toEqual([
    [{ action: 'drop', source: 'main', ids: ['main/l/1/1', 'main/l/1/2'], operator: 'jane' }],
  ])
  const all = await ask('/parked/delete', { body: { filter: { from: 'relay' }, forever: true } })
  expect(all.answer).toEqual({ moved: 0, skipped: 0, asked: 2, more: false })
  expect((await ask<ParkedPage>('/bin')).answer.items.map(({ from }) => from)).toEqual(['functions'])
  expect((await ask<AuditPage>('/audit')).answer.items.map(({ action, count }) => [action, count])).toEqual([
    ['drop', 2],
    ['delete', 2],
    ['drop', 2],
  ])
})

it('a command that SQS does not accept is answered with 503, and the replay is stopped', async () => {
  const { ask, commit, sendCommand, sendStep } = await useOperators()
  await commit(ofRelay(1))
  sendCommand.mockRejectedValue(new Error('no such queue'))
  const { status, answer } = await ask('/replays', { body: { ids: ['main/l/1/1'] } })
  expect([status, answer.detail]).toEqual([503, expect.stringContaining('queue') as string])
  expect((await ask<{ items: Replay[] }>('/replays')).answer.items).toMatchObject([{ state: 'stopped', relay: 1 }])
  expect((await ask('/parked/delete', { body: { filter: { from: 'relay' }, forever: true } })).status).toBe(503)
  expect(sendStep).not.toHaveBeenCalled()
})
