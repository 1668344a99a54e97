import { agentStatus, campaignStatus, cdr, relayGap, type ChangesPage, type Confirmation } from 'enigma-relay/store'
import { expect, it } from 'vitest'
import { useServedApi } from '../client/client-world.ts'
import { useRedisClient } from '../support/redis.ts'
import { AUTH, notice, useApi } from './api-world.ts'

const campaign = (status: string, ref = '7', own = {}) =>
  campaignStatus(notice({ status, ref }, { type: 'campaigns', reference: ref, ...own }))
const agent = (status: string, campaign_ref = '7', own = {}) =>
  agentStatus(notice({ status, campaign_ref, ref: '1002' }, { reference: '1002', ...own }))
const record = (call_ref: string) =>
  cdr(
    notice(
      {
        call_ref,
        dialed_at: Math.floor(Date.now() / 1000) - 60,
        number: '27821234567',
        end_reason: 'hungup',
        ref: '7',
      },
      { type: 'campaigns', subType: 'cdr', transport: 'list' },
    ),
  )

/** An API that polls often, with two earlier changes and a cursor after them. */
async function useConfirmations(options: Parameters<typeof useApi>[0] = {}) {
  const world = await useApi({ confirmations: { pollMs: 5, limitMs: 50_000 }, ...options })
  await world.commit(agent('offline', '1'), campaign('stopped', '1'))
  const readCursor = async () => (await world.json<ChangesPage>('/changes')).cursor
  let cursor = await readCursor()
  return {
    ...world,
    readCursor,
    /** Moves the cursor to the latest change. */
    restart: async () => {
      cursor = await readCursor()
    },
    ask: (resource: string, expected: string, more = '') =>
      world.json<Confirmation>(`/confirmations?resource=${resource}&expect=${expected}&after=${cursor}${more}`),
  }
}

it('a campaign is confirmed by its notification, before a request or while the request waits', async () => {
  const { commit, ask } = await useConfirmations()
  const waiting = ask('campaigns/7', 'stopped')
  await commit(campaign('stopping'), campaign('stopped', '8'))
  await commit(campaign('stopped'))
  const confirmed = {
    outcome: 'confirmed',
    reason: null,
    notification: {
      id: expect.stringMatching(/^main\/p\/1\/\d+$/) as string,
      type: 'campaigns/status',
      state: 'stopped',
      at: expect.stringMatching(/Z$/) as string,
      source: 'main',
      campaign_ref: null,
    },
    state: 'stopped',
    unsure: false,
    seen: ['stopping'],
    cursor: expect.stringMatching(/^\d+-\d+$/) as string,
    reset: false,
  }
  const first = await waiting
  expect(first).toEqual(confirmed)
  expect(await ask('campaigns/7', 'stopped')).toEqual(first)
})

it('a notification before the cursor does not count: after the timeout, the outcome is pending with the present state', async () => {
  const { commit, ask, restart } = await useConfirmations()
  await commit(campaign('started'), agent('available'))
  await restart()
  const nothing = { outcome: 'pending', reason: null, notification: null, seen: [], reset: false, unsure: false }
  expect(await ask('campaigns/7', 'started', '&timeout=0')).toMatchObject({ ...nothing, state: 'started' })
  const waited = await ask('agents/1002', 'available', '&timeout=0.2')
  // The latest state of all campaigns, unless one is named.
  expect(waited).toMatchObject({ ...nothing, state: 'available' })
  expect(await ask('agents/1002', 'available', '&timeout=0&campaign=1')).toMatchObject({ state: 'offline' })
  expect(await ask('agents/none', 'available', '&timeout=0')).toMatchObject({ ...nothing, state: null })
  expect(await ask('calls/4', 'cdr', '&timeout=0')).toMatchObject({ ...nothing, state: null })
  // A notification after a pending answer still counts.
  await commit(campaign('started'))
  expect(await ask('campaigns/7', 'started', `&timeout=0`)).toMatchObject({ outcome: 'confirmed' })
})

it('a failed login is reported with its reason and the states before it', async () => {
  const { commit, ask } = await useConfirmations()
  const waiting = ask('agents/1002', 'available')
  for (const state of ['logging_in', 'offline']) await commit(agent(state))
  expect(await waiting).toMatchObject({
    outcome: 'failed',
    reason: 'The login failed, and the agent went straight to offline.',
    notification: { state: 'offline', campaign_ref: '7' },
    state: 'offline',
    seen: ['logging_in'],
  })
})

it('an agent has separate states per campaign, and the requested campaign decides', async () => {
  const { commit, ask, restart } = await useConfirmations()
  // In one campaign the login is under way, in the other the agent goes offline: no login has failed.
  await commit(agent('logging_in', '7'), agent('offline', '8'))
  expect(await ask('agents/1002', 'available', '&timeout=0')).toMatchObject({ outcome: 'pending' })
  await commit(agent('available', '8'))
  expect(await ask('agents/1002', 'available', '&timeout=0&campaign=7')).toMatchObject({
    outcome: 'pending',
    state: 'logging_in',
    seen: ['logging_in'],
  })
  expect(await ask('agents/1002', 'available', '&timeout=0')).toMatchObject({ notification: { campaign_ref: '8' } })
  await restart()
  await commit(agent('offline', '7'))
  expect(await ask('agents/1002', 'available', '&timeout=0&campaign=8')).toMatchObject({ outcome: 'pending' })
  expect(await ask('agents/1002', 'available', '&timeout=0&campaign=7')).toMatchObject({ outcome: 'failed' })
})

it('sources have separate campaigns, a state from a resync does not fail a request, and a late state does not confirm it', async () => {
  const { commit, ask } = await useConfirmations()
  await commit(campaign('started', '7', { source: 'north' }))
  expect(await ask('campaigns/7', 'started', '&timeout=0&source=main')).toMatchObject({ outcome: 'pending' })
  expect(await ask('campaigns/7', 'started', '&timeout=0&source=north')).toMatchObject({ outcome: 'confirmed' })
  // A resync does not add a campaign that is over and has no state yet, so `stopped` is committed first.
  await commit(campaign('stopped', '9'), campaign('completed', '9', { transport: 'resync' }))
  const read = { outcome: 'pending', seen: ['stopped', 'completed'], state: 'completed' }
  expect(await ask('campaigns/9', 'started', '&timeout=0')).toMatchObject(read)
  const timeMs = Date.now()
  await commit(campaign('stopped', '10', { timeMs, sequence: '9' }))
  await commit(campaign('started', '10', { timeMs: timeMs - 60_000, sequence: '8' }))
  expect(await ask('campaigns/10', 'started', '&timeout=0')).toMatchObject({ outcome: 'pending', seen: ['stopped'] })
})

it('a disposition is confirmed by the CDR of the call, without a number', async () => {
  const { commit, ask } = await useConfirmations()
  await commit(record('900'), record('901'))
  const confirmed = await ask('calls/901', 'cdr')
  expect(confirmed).toMatchObject({ outcome: 'confirmed', state: 'hungup', notification: { type: 'campaigns/cdr' } })
  expect(JSON.stringify(confirmed)).not.toContain('1234567')
})

it('a cursor that is too old is reported at once, and a state from before a gap is marked unsure', async () => {
  const { commit, json, readCursor } = await useConfirmations()
  await commit(campaign('started'))
  const answer = await json<Confirmation>('/confirmations?resource=campaigns/7&expect=started&after=1-0')
  expect(answer).toMatchObject({ outcome: 'pending', reset: true, state: 'started', unsure: false })
  expect(answer.cursor).toBe(await readCursor())
  const gap = { source: 'main', relay: 'r1', cause: 'reconnect', patterns: ['enigma:*'] }
  const [from, to] = [new Date(Date.now() - 1_000).toISOString(), new Date().toISOString()]
  await commit(
    relayGap(
      notice(
        { ...gap, from, to },
        { type: 'relay', subType: 'gap', transport: 'relay', timeMs: Date.now(), sequence: '9' },
      ),
    ),
  )
  const after = await readCursor()
  const unsure = await json(`/confirmations?resource=campaigns/7&expect=stopped&after=${after}&timeout=0`)
  expect(unsure).toMatchObject({ outcome: 'pending', state: 'started', unsure: true })
})

it.each([
  ['resource=campaigns/7&expect=started', 'after', /^after is missing: The `cursor` of `GET \/changes`, taken before/],
  ['expect=started&after=1-0', 'resource', /^resource is missing: /],
  [
    'resource=campaigns/7&expect=started&after=yesterday',
    'after',
    /^after must be the `cursor` of an earlier response/,
  ],
  ['resource=campaigns/7&expect=available&after=1-0', 'expect', /^expect must be one of started, stopped, completed/],
  ['resource=agents&expect=available&after=1-0', 'resource', /^resource must be one of campaigns\/<reference>, agents/],
  ['resource=dialers/1&expect=started&after=1-0', 'resource', /^resource must be one of/],
  ['resource=campaigns/7&campaign=7&expect=started&after=1-0', 'campaign', /^campaign is only for agents/],
  ['resource=campaigns/7&expect=started&after=1-0&timeout=soon', 'timeout', /^timeout must be a number of seconds/],
  ['resource=campaigns/7&expect=started&after=1-0&timeout=-1', 'timeout', /^timeout must be at least 0/],
])('%s is rejected, and the detail says what to send', async (parameters, parameter, detail) => {
  const { get } = await useApi()
  const response = await get(`/confirmations?${parameters}`)
  expect([response.status, await response.json()]).toMatchObject([
    400,
    { parameter, detail: expect.stringMatching(detail) as string },
  ])
})

it('a reference may have any characters, and the role masked sees no number in a state', async () => {
  const MASKED = 'masked-token-of-the-test-of-32-characters'
  const { app, commit, readCursor } = await useConfirmations({ tokens: `joe:masked:${MASKED}` })
  const after = await readCursor()
  const ref = 'a/b ?#%é+1\n'
  await commit(campaign('on 27821234567', ref), campaign('started', ref))
  const query = new URLSearchParams({ resource: `campaigns/${ref}`, expect: 'started', after })
  const ask = async (headers: Record<string, string>) =>
    (await app.request(`/confirmations?${query.toString()}`, { headers })).json()
  expect(await ask(AUTH)).toMatchObject({ outcome: 'confirmed', seen: ['on 27821234567'] })
  expect(await ask({ authorization: `Bearer ${MASKED}` })).toMatchObject({
    outcome: 'confirmed',
    state: 'started',
    notification: { type: 'campaigns/status' },
    seen: ['on ***********'],
  })
})

/** Returns a function that counts the reads of changes in Redis. */
async function useReadCount(url: string) {
  const client = await useRedisClient(url)
  return async () => Number(/cmdstat_xrange:calls=(\d+)/.exec(await client.info('commandstats'))?.[1] ?? 0)
}

it('50 waiting requests with different cursors share their reads, and each gets its own answer', async () => {
  const pollMs = 20
  const { commit, ask, restart, redis } = await useConfirmations({ confirmations: { pollMs, limitMs: 50_000 } })
  const countReads = await useReadCount(redis.url)
  const refs = Array.from({ length: 50 }, (_, at) => String(100 + at))
  const answers: Promise<Confirmation>[] = []
  for (const ref of refs) {
    await restart()
    answers.push(ask(`campaigns/${ref}`, 'started'))
    // Each request starts at a different cursor.
    await commit(campaign('started', '1'))
  }
  await expect.poll(countReads).toBeGreaterThan(50)
  // All requests wait now. Shared, there is about one read per poll; separate polls would make 50.
  const [startMs, before] = [performance.now(), await countReads()]
  await expect.poll(countReads, { timeout: 10_000 }).toBeGreaterThanOrEqual(before + 10)
  const polls = (performance.now() - startMs) / pollMs
  expect((await countReads()) - before).toBeLessThan(3 * polls)
  await commit(...refs.slice(0, 25).map((ref) => campaign('started', ref)))
  await commit(...refs.slice(25).map((ref) => campaign('started', ref)))
  const outcomes = await Promise.all(answers)
  expect(outcomes.map(({ outcome, seen }) => [outcome, seen])).toEqual(refs.map(() => ['confirmed', []]))
})

it('a request that joins a read from before its cursor ignores the changes before its cursor', async () => {
  const { commit, ask, restart, redis } = await useConfirmations({ confirmations: { pollMs: 300, limitMs: 50_000 } })
  const countReads = await useReadCount(redis.url)
  const first = ask('campaigns/9', 'started')
  await expect.poll(countReads).toBeGreaterThan(0)
  await commit(campaign('started', '9'))
  await restart()
  expect(await ask('campaigns/9', 'started', '&timeout=1')).toMatchObject({ outcome: 'pending', seen: [] })
  expect(await first).toMatchObject({ outcome: 'confirmed' })
})

it('more commits than one read returns are all read, in order and once', async () => {
  const { commit, ask } = await useConfirmations()
  const waiting = ask('campaigns/7', 'completed')
  const words = Array.from({ length: 250 }, (_, at) => `s${at}`)
  for (const word of words) await commit(campaign(word))
  const late = ask('campaigns/7', 'completed')
  await commit(campaign('completed'))
  for (const answer of [waiting, late]) expect(await answer).toMatchObject({ outcome: 'confirmed', seen: words })
})

it('when a client disconnects, the API stops reading for it', async () => {
  const { url, redis, client } = await useServedApi({ confirmations: { pollMs: 5 } })
  const countReads = await useReadCount(redis.url)
  const { cursor } = await client().changesPage()
  const gone = new AbortController()
  const path = `/confirmations?resource=campaigns/7&expect=started&after=${cursor}`
  const answer = fetch(url + path, { headers: AUTH, signal: gone.signal })
  await expect.poll(countReads).toBeGreaterThan(5)
  gone.abort()
  await expect(answer).rejects.toThrow()
  const isQuiet = async () => {
    const before = await countReads()
    await new Promise((resolve) => setTimeout(resolve, 100))
    return (await countReads()) === before
  }
  await expect.poll(isQuiet).toBe(true)
})

it('a waiting request retries while the read model is away, and answers 503 if the read model stays away', async () => {
  const { commit, ask, get, readCursor, redis, proxy } = await useConfirmations()
  const client = await useRedisClient(redis.url)
  const countReads = await useReadCount(redis.url)
  const waiting = ask('campaigns/7', 'started')
  await expect.poll(countReads).toBeGreaterThan(2)
  await client.sendCommand(['ACL', 'SETUSER', 'default', '-xrange'])
  const before = proxy.seen.requests
  await commit(campaign('started'))
  await expect.poll(() => proxy.seen.requests - before).toBeGreaterThan(5)
  await client.sendCommand(['ACL', 'SETUSER', 'default', '+xrange'])
  expect(await waiting).toMatchObject({ outcome: 'confirmed' })
  const after = await readCursor()
  await client.sendCommand(['ACL', 'SETUSER', 'default', '-xrange'])
  const refused = await get(`/confirmations?resource=campaigns/7&expect=stopped&after=${after}`)
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5'])
})

it('a request waits no longer than the API allows', async () => {
  const { ask } = await useConfirmations({ confirmations: { pollMs: 5, limitMs: 50 } })
  expect(await ask('campaigns/7', 'started')).toMatchObject({ outcome: 'pending' })
  expect(await ask('campaigns/7', 'started', '&timeout=999')).toMatchObject({ outcome: 'pending' })
})
