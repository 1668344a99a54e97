import { agentStatus, campaignStatus } from 'enigma-relay/store'
import { expect, it } from 'vitest'
import type { Client } from '../../src/client/index.ts'
import { notice } from '../api/api-world.ts'
import { useProxy } from '../support/proxy.ts'
import { createTestClient, eventually, useAnswers, useChangingApi } from './client-world.ts'

const campaign = (status: string, ref = '7') =>
  campaignStatus(notice({ status, ref }, { type: 'campaigns', reference: ref }))
const agent = (status: string, campaign_ref: string) =>
  agentStatus(notice({ status, campaign_ref, ref: '1002' }, { reference: '1002' }))
const useApiThatWaits = (own: Parameters<typeof useChangingApi>[0] = {}) =>
  useChangingApi({ confirmations: { pollMs: 5 }, ...own })
const isWaiting = ({ sent }: ReturnType<typeof createTestClient>) =>
  eventually(() => sent.filter(({ path }) => path === '/confirmations').length).toBeGreaterThan(0)

it('a notification after the cursor counts, an earlier one does not, and a decided outcome stays', async () => {
  const { client, commit } = await useApiThatWaits()
  await commit(campaign('started'))
  const one = client()
  const confirmed = await one.expect('campaigns/7', 'started')
  const { cursor } = confirmed
  expect(await confirmed.within(100)).toMatchObject({ outcome: 'pending', state: 'started', seen: [] })
  await commit(campaign('stopping'), campaign('started'))
  const first = await confirmed.within(10_000)
  expect(first).toMatchObject({ outcome: 'confirmed', seen: ['stopping'], notification: { state: 'started' } })
  expect(confirmed.cursor > cursor).toBe(true)
  const asked = one.sent.length
  await commit(campaign('completed'))
  expect([await confirmed.within(10_000), one.sent.length]).toEqual([first, asked])
})

it('when the API waits for less time, the client asks again and keeps the states seen before', async () => {
  const { client, commit } = await useApiThatWaits({ confirmations: { pollMs: 5, limitMs: 20 } })
  const one = client()
  const confirmed = await one.expect('campaigns/7', 'stopped')
  const waiting = confirmed.within(30_000)
  await isWaiting(one)
  await commit(campaign('stopping'))
  await eventually(() => one.sent.filter(({ path }) => path === '/confirmations').length).toBeGreaterThan(2)
  await commit(campaign('stopped'))
  expect(await waiting).toMatchObject({ outcome: 'confirmed', seen: ['stopping'] })
})

it('the client sends its parameters, and the named campaign of an agent decides the outcome', async () => {
  const { client, commit } = await useApiThatWaits()
  const one = client()
  const confirmed = await one.expect('agents/1002', 'available', { campaign: '7', source: 'main' })
  const waiting = confirmed.within(30_000)
  await isWaiting(one)
  await commit(agent('available', '8'), agent('logging_in', '7'), agent('offline', '7'))
  expect(await waiting).toMatchObject({
    outcome: 'failed',
    reason: expect.stringMatching(/login failed/) as string,
    notification: { campaign_ref: '7' },
    seen: ['logging_in'],
  })
  const query = Object.fromEntries(new URL(one.sent.at(-1)?.url ?? '').searchParams)
  expect(query).toMatchObject({ resource: 'agents/1002', expect: 'available', campaign: '7', source: 'main' })
  expect(Number(query['timeout'])).toBe(25)
})

it('the client reconnects after a cut connection, and misses or repeats no state', async () => {
  const world = await useApiThatWaits()
  const proxy = await useProxy(world.port)
  const one = createTestClient({ url: `http://127.0.0.1:${proxy.port}` })
  const confirmed = await one.expect('campaigns/7', 'stopped')
  const waiting = confirmed.within(30_000)
  await isWaiting(one)
  proxy.state.refuse = true
  proxy.cut()
  await world.commit(campaign('stopping'))
  await eventually(() => one.sent.length).toBeGreaterThan(4)
  await world.commit(campaign('stopped'))
  proxy.state.refuse = false
  expect(await waiting).toMatchObject({ outcome: 'confirmed', seen: ['stopping'] })
})

it.each([429, 500, 502, 503])('the client asks again after the API answers %i', async (status) => {
  const world = await useApiThatWaits()
  let refusals = 0
  const one = world.client({
    fetch: async (url, init) =>
      url.includes('/confirmations') && refusals++ < 2
        ? new Response('busy', { status, headers: { 'retry-after': '0' } })
        : fetch(url, init),
  })
  const confirmed = await one.expect('campaigns/7', 'started')
  await world.commit(campaign('started'))
  expect(await confirmed.within(30_000)).toMatchObject({ outcome: 'confirmed' })
  expect(refusals).toBe(3)
})

it('an API that stays away until the timeout is an error, and the same handle works when the API is back', async () => {
  const { client, commit, stop, start } = await useApiThatWaits()
  const confirmed = await client().expect('campaigns/7', 'started')
  await commit(campaign('started'))
  await stop()
  await expect(confirmed.within(200)).rejects.toMatchObject({ code: 'network' })
  await start()
  expect(await confirmed.within(0)).toMatchObject({ outcome: 'confirmed' })
})

it('expect rejects without a cursor, and a request that the API rejects is an error at once', async () => {
  const { client, stop, commit } = await useApiThatWaits()
  const one = client({ retries: 0 })
  const refused = await one.expect('campaigns/7', 'started')
  const wrong = await client().expect('campaigns/7', 'nonsense' as 'started')
  await expect(wrong.within(30_000)).rejects.toMatchObject({ code: 'bad-parameter', parameter: 'expect' })
  await commit(campaign('started'))
  expect(await refused.within(30_000)).toMatchObject({ outcome: 'confirmed' })
  await stop()
  await expect(one.expect('campaigns/7', 'started')).rejects.toMatchObject({ code: 'network' })
})

it('a signal ends the wait with its reason, and the handle still works', async () => {
  const { client, commit } = await useApiThatWaits()
  const one = client()
  const confirmed = await one.expect('campaigns/7', 'started')
  const controller = new AbortController()
  const waiting = confirmed.within(30_000, { signal: controller.signal })
  await isWaiting(one)
  controller.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  await commit(campaign('started'))
  expect(await confirmed.within(30_000)).toMatchObject({ outcome: 'confirmed' })
})

it('a cursor that is too old is reported as a reset, and a later notification still counts', async () => {
  const { url } = await useAnswers((request, response, count) => {
    const answer = { outcome: 'pending', reason: null, notification: null, state: 'stopped', seen: [], unsure: false }
    response.setHeader('content-type', 'application/json')
    if (request.url === '/changes') return response.end(JSON.stringify({ cursor: '1-0' }))
    expect(request.url).toContain(count === 2 ? 'after=1-0' : 'after=5-0')
    const more = count === 2 ? { cursor: '5-0', reset: true } : { outcome: 'confirmed', cursor: '6-0', reset: false }
    return response.end(JSON.stringify({ ...answer, ...more }))
  })
  const confirmed = await createTestClient({ url }).expect('campaigns/7', 'started')
  expect(await confirmed.within(30_000)).toMatchObject({ outcome: 'confirmed', reset: true, cursor: '6-0' })
})

it('an expectation that the resource cannot have does not compile', () => {
  const ref: string = '7'
  const calls = (client: Client) => [
    client.expect(`campaigns/${ref}`, 'completed'),
    client.expect(`agents/${ref}`, 'offline', { campaign: '7' }),
    client.expect('calls/900', 'cdr', { source: 'main' }),
    // @ts-expect-error An agent does not start.
    client.expect('agents/1002', 'started'),
    // @ts-expect-error A campaign is never offline.
    client.expect(`campaigns/${ref}`, 'offline'),
    // @ts-expect-error There is no such resource.
    client.expect('dialers/1', 'started'),
    // @ts-expect-error A campaign is in no campaign.
    client.expect('campaigns/7', 'started', { campaign: '7' }),
  ]
  expect(calls).toBeTypeOf('function')
})
