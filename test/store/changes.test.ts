import { expect, test } from 'vitest'
import { agentStatus, campaignStatus, cdr, type Effect } from '../../src/store/index.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, nextId, toEvent } from './events.ts'

const status = (word: string, at: number, ref = '1002') =>
  agentStatus(toEvent('agents', 'status', ref, { status: word, campaign_ref: 'c1' }, at))

async function useChanges() {
  const { store, redis } = await useStore()
  const client = await useRedisClient(redis.url)
  return {
    commit: (...effects: Effect[]) => store.commit({ effects, done: new Map() }),
    readChanges: async () =>
      ((await client.xRange('enigma:changes', '-', '+')) ?? []).map(({ message }) => ({ ...message })),
    client,
  }
}

test('each commit that changes something adds one entry, which names what changed and nobody’s number', async () => {
  const { commit, readChanges, client } = await useChanges()
  const record = cdr(
    toEvent(
      'campaigns',
      'cdr',
      undefined,
      {
        call_ref: '7',
        dialed_at: BASE_MS / 1_000,
        number: '27821234567',
        contact_ref: 'k1',
        end_reason: 'busy',
        ref: 'c1',
      },
      3,
      { transport: 'list', id: nextId() },
    ),
  )
  await commit(
    status('busy', 1),
    campaignStatus(toEvent('campaigns', 'status', 'c1', { status: 'started' }, 2)),
    record,
  )
  const [entry, ...more] = await readChanges()
  expect(more).toEqual([])
  expect(JSON.parse(entry?.['changes'] ?? '')).toMatchObject([
    {
      kind: 'agents/status',
      ref: '1002',
      campaign_ref: 'c1',
      state: 'busy',
      notification_id: expect.any(String) as string,
    },
    { kind: 'campaigns/status', ref: 'c1', state: 'started', source: 'main', sequence: expect.any(String) as string },
    { kind: 'campaigns/cdr', ref: 'c1', state: 'busy' },
  ])
  expect(entry?.['changes']).not.toMatch(/27821234567|k1/)
  // Copies, and what is older, change nothing.
  await commit(status('busy', 1), record)
  await commit(status('available', 0))
  expect(await readChanges()).toHaveLength(1)
  expect(await client.ttl('enigma:changes')).toBeGreaterThan(0)
})

test('a commit of more changes than fit says how many, and the stream does not grow without bound', async () => {
  const { commit, readChanges, client } = await useChanges()
  await commit(...Array.from({ length: 500 }, (_, at) => status('busy', at, String(at))))
  expect(await readChanges()).toEqual([{ many: '500' }])
  await client.eval("for i = 1, 6000 do redis.call('XADD', 'enigma:changes', '*', 'changes', '[]') end", {
    keys: [],
    arguments: [],
  })
  await commit(status('wrapup', 1_000))
  // Redis trims whole nodes of a hundred.
  expect(await client.xLen('enigma:changes')).toBeLessThan(4_200)
})
