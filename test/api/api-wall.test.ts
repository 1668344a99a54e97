import { agentStatus, type Wall } from 'enigma-relay/store'
import { expect, it } from 'vitest'
import { notice, useApi } from './api-world.ts'

const status = (word: string) => agentStatus(notice({ status: word, campaign_ref: '7' }, { reference: '1002' }))

it('requests within a second share one answer of the wall, which says when it was read', async () => {
  let nowMs = Date.now()
  const now = () => nowMs
  const { proxy, commit, json } = await useApi({ now, store: { now } })
  await commit(status('busy'))
  const wall = async () => {
    const before = proxy.seen.requests
    const { at, agents } = await json<Wall>('/wall')
    return { at, word: agents[0]?.status, requests: proxy.seen.requests - before }
  }
  const at = new Date(nowMs).toISOString()
  expect(await wall()).toEqual({ at, word: 'busy', requests: 2 })
  await commit(status('wrapup'))
  nowMs += 1_000
  expect(await wall()).toEqual({ at, word: 'busy', requests: 0 })
  nowMs += 1
  expect(await wall()).toEqual({ at: new Date(nowMs).toISOString(), word: 'wrapup', requests: 1 })
  // The clock is set back.
  await commit(status('available'))
  nowMs -= 60_000
  expect(await wall()).toMatchObject({ word: 'available' })
})

it('concurrent requests share one read, and each answer is masked or not as requested', async () => {
  const { proxy, commit, json } = await useApi()
  await commit(agentStatus(notice({ status: '27821234567', campaign_ref: '7' }, { reference: '1002' })))
  const before = proxy.seen.requests
  const [open, masked] = await Promise.all([json<Wall>('/wall'), json<Wall>('/wall?masked=true')])
  expect(proxy.seen.requests - before).toBe(2)
  expect([open.agents[0]?.status, masked.agents[0]?.status === '27821234567']).toEqual(['27821234567', false])
  expect(masked.at).toBe(open.at)
})

it('a failed read is not cached', async () => {
  const { redis, commit, get, json } = await useApi()
  await commit(status('busy'))
  const { createClient } = await import('redis')
  const client = await createClient({ url: redis.url, RESP: 2 }).connect()
  await client.rename('enigma:agents', 'kept')
  await client.set('enigma:agents', 'of another form')
  expect((await get('/wall')).status).toBe(503)
  await client.rename('kept', 'enigma:agents')
  client.destroy()
  expect((await json<Wall>('/wall')).agents).toHaveLength(1)
})
