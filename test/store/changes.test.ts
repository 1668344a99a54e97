import { expect, test } from 'vitest'
import { agentStatus, type Effect } from '../../src/store/index.ts'
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
    client,
  }
}

test('a commit of more changes than fit says how many, and the stream does not grow without bound', async () => {
  const { commit, readChanges, client } = await useChanges()
  await commit(...Array.from({ length: 30 }, (_, at) => status('busy', at, String(at).repeat(400))))
  expect(await readChanges()).toEqual([{ many: '30' }])
  await client.eval("for i = 1, 6000 do redis.call('XADD', 'enigma:changes', '*', 'changes', '[]') end", {
    keys: [],
    arguments: [],
  })
  await commit(status('wrapup', 1_000))
  // Redis trims whole nodes of a hundred.
  expect(await client.xLen('enigma:changes')).toBeLessThan(4_200)
})
