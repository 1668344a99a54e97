import { expect, it } from 'vitest'
import type { Queues } from 'enigma-relay/store'
import { useApi } from './api-world.ts'

const DEPTH = { queue: 'enigma-agents-call.fifo', route: 'agents-call', dead_letter: false, waiting: 2, in_flight: 1 }

it('reads SQS once for all requests within ten seconds, and returns the time of the read', async () => {
  let [asked, nowMs] = [0, Date.parse('2026-01-31T08:00:00Z')]
  const { json } = await useApi({
    now: () => nowMs,
    queues: async () => {
      asked++
      return [{ ...DEPTH, waiting: asked }]
    },
  })
  const all = await Promise.all([json<Queues>('/queues'), json<Queues>('/queues')])
  expect(all.map(({ read_at, items }) => [read_at, items[0]?.waiting])).toEqual([
    ['2026-01-31T08:00:00.000Z', 1],
    ['2026-01-31T08:00:00.000Z', 1],
  ])
  nowMs += 10_000
  expect((await json<Queues>('/queues')).items[0]?.waiting).toBe(1)
  nowMs += 1
  expect((await json<Queues>('/queues')).items[0]?.waiting).toBe(2)
})

it('answers 503 while SQS fails, asks again at the next request, and answers 404 without queues', async () => {
  let isAway = true
  const { get } = await useApi({
    queues: async () => {
      if (isAway) throw new Error('AccessDenied for 27821234567')
      return [DEPTH]
    },
  })
  const refused = await get('/queues')
  expect([refused.status, await refused.text()]).toEqual([503, expect.not.stringContaining('27821234567')])
  isAway = false
  expect((await get('/queues')).status).toBe(200)
  const { get: getOther } = await useApi()
  expect((await getOther('/queues')).status).toBe(404)
})
