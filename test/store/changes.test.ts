import { expect, test } from 'vitest'
import { agentStatus, campaignStatus, cdr, type ChangesFilter, type Effect } from '../../src/store/index.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { toEvent } from './events.ts'

const status = (word: string, at: number, ref = '1002') =>
  agentStatus(toEvent('agents', 'status', ref, { status: word, campaign_ref: 'c1' }, at))

async function useChanges() {
  const { store, redis } = await useStore()
  const client = await useRedisClient(redis.url)
  return {
    commit: (...effects: Effect[]) => store.commit({ effects, done: new Map() }),
    readChanges: async () =>
      ((await client.xRange('enigma:changes', '-', '+')) ?? []).map(({ message }) => ({ ...message })),
    read: (filter?: ChangesFilter) => store.read.changes(filter),
    readCommits: (after: string) => store.read.commits(after),
    client,
  }
}

test('a commit with too many changes to list stores their number instead, and the change stream is capped', async () => {
  const { commit, readChanges, client } = await useChanges()
  await commit(...Array.from({ length: 30 }, (_, at) => status('busy', at, String(at).repeat(400))))
  expect(await readChanges()).toEqual([{ many: '30', documents: expect.any(String) as string }])
  await client.eval("for i = 1, 6000 do redis.call('XADD', 'enigma:changes', '*', 'changes', '[]') end", {
    keys: [],
    arguments: [],
  })
  await commit(status('wrapup', 1_000))
  // Redis trims whole nodes of a hundred.
  expect(await client.xLen('enigma:changes')).toBeLessThan(4_200)
})

test('changes after a cursor are read in order, and filtered by type and reference', async () => {
  const { commit, read } = await useChanges()
  const { cursor } = await read()
  expect(cursor).toBe('0-0')
  await commit(status('available', 1))
  const first = await read()
  await commit(status('busy', 2), status('busy', 3, '1003'))
  await commit(campaignStatus(toEvent('campaigns', 'status', 'c1', { status: 'started' }, 4)))
  const page = await read({ after: first.cursor })
  expect(page).toMatchObject({ more: false, reset: false })
  expect(page.items.map(({ type, ref, campaign_ref, state }) => [type, ref, campaign_ref, state])).toEqual([
    ['agents/status', '1002', 'c1', 'busy'],
    ['agents/status', '1003', 'c1', 'busy'],
    ['campaigns/status', 'c1', null, 'started'],
  ])
  expect(page.items[0]).toMatchObject({ source: 'main', transport: 'pubsub', notification_id: expect.any(String) })
  const refsOf = async (filter: ChangesFilter) =>
    (await read({ after: first.cursor, ...filter })).items.map(({ type, ref }) => `${type} ${ref}`)
  expect(await refsOf({ type: 'campaigns' })).toEqual(['campaigns/status c1'])
  expect(await refsOf({ type: 'agents/status', reference: '1003' })).toEqual(['agents/status 1003'])
  expect(await refsOf({ type: 'agents/stat' })).toEqual([])
  // The cursor advances with and without a filter, and no change is returned twice.
  expect(await read({ after: page.cursor })).toEqual({ items: [], cursor: page.cursor, more: false, reset: false })
  expect((await read({ after: first.cursor, type: 'none' })).cursor).toBe(page.cursor)
})

test('a read after a cursor whose changes may be gone returns reset and a cursor at the end', async () => {
  const { commit, read, client } = await useChanges()
  await commit(status('available', 1))
  const { cursor: old } = await read()
  // The stream began behind the cursor.
  expect(await read({ after: '0-0' })).toEqual({ items: [], cursor: old, more: false, reset: true })
  await commit(status('busy', 2))
  await client.del('enigma:changes')
  expect(await read({ after: old })).toEqual({ items: [], cursor: '0-0', more: false, reset: true })
  await commit(status('wrapup', 3))
  const { cursor } = await read()
  expect(await read({ after: old })).toEqual({ items: [], cursor, more: false, reset: true })
  // A commit of more changes than are listed.
  await commit(...Array.from({ length: 30 }, (_, at) => status('busy', at + 10, String(at).repeat(400))))
  expect(await read({ after: cursor })).toMatchObject({ items: [], reset: true })
  for (const after of ['x', '99999999999999999999-0'])
    await expect(read({ after })).rejects.toMatchObject({ code: 'store.cursor.invalid' })
})

test('large commits are returned in several pages, each with `more` until the last', async () => {
  const { commit, read } = await useChanges()
  await commit(status('available', 1))
  let { cursor } = await read()
  const refs = Array.from({ length: 150 }, (_, at) => `${at}-`.padEnd(400, 'x'))
  for (const [at, ref] of refs.entries())
    await commit(...Array.from({ length: 20 }, (_, nth) => status('busy', 2 + at * 20 + nth, `${ref}${nth}`)))
  const found: string[] = []
  let [requests, isMore] = [0, true]
  for (; isMore; requests++) {
    const page = await read({ after: cursor })
    expect(page.reset).toBe(false)
    found.push(...page.items.map(({ ref }) => ref))
    cursor = page.cursor
    isMore = page.more
  }
  expect(found).toEqual(refs.flatMap((ref) => Array.from({ length: 20 }, (_, nth) => `${ref}${nth}`)))
  expect(requests).toBeGreaterThan(2)
})

test('a change names the previous state in the same campaign, and a late status is not reported as a state', async () => {
  const { commit, read } = await useChanges()
  const inCampaign = (word: string, at: number, campaign_ref: string) =>
    agentStatus(toEvent('agents', 'status', '1002', { status: word, campaign_ref }, at))
  const campaign = (word: string, at: number) =>
    campaignStatus(toEvent('campaigns', 'status', 'c1', { status: word }, at))
  await commit(inCampaign('offline', 1, 'c1'), campaign('started', 1))
  const { cursor } = await read()
  await commit(inCampaign('logging_in', 2, 'c1'), inCampaign('busy', 3, 'c2'), inCampaign('offline', 4, 'c1'))
  // A word that needs an escape in JSON, or holds a number, is not repeated.
  await commit(inCampaign('on "27821234567"\\', 5, 'c1'), inCampaign('available', 6, 'c1'))
  await commit(campaign('stopped', 9), campaign('stopping', 8))
  const { items } = await read({ after: cursor })
  expect(items.map(({ campaign_ref, from, state }) => [campaign_ref, from, state])).toEqual([
    ['c1', 'offline', 'logging_in'],
    ['c2', null, 'busy'],
    ['c1', 'logging_in', 'offline'],
    ['c1', 'offline', 'on "27821234567"\\'],
    ['c1', null, 'available'],
    [null, 'started', 'stopped'],
    [null, null, null],
  ])
})

test('a CDR names its call, and commits are read one by one with their cursors', async () => {
  const { commit, read, readCommits } = await useChanges()
  await commit(status('available', 1))
  const { cursor } = await read()
  const record = { call_ref: '9007199254740993', dialed_at: 1_764_000_000, number: '27821234567', end_reason: 'busy' }
  await commit(cdr(toEvent('campaigns', 'cdr', 'c1', record, 2, { transport: 'list' })), status('busy', 3))
  await commit(status('wrapup', 4))
  const { commits, ...page } = await readCommits(cursor)
  expect(commits.map(({ changes }) => changes.map(({ call_ref, state }) => [call_ref, state]))).toEqual([
    [
      ['9007199254740993', 'busy'],
      [null, 'busy'],
    ],
    [[null, 'wrapup']],
  ])
  expect(page).toEqual({ cursor: commits.at(-1)?.cursor, more: false, reset: false })
  expect(await readCommits(commits[0]?.cursor ?? '')).toEqual({ ...page, commits: commits.slice(1) })
})
