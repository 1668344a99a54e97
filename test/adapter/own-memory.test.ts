import { Hono } from 'hono'
import { expect, test } from 'vitest'
import { fromSqs, record, type AdapterEnv } from '../../src/adapter/index.ts'
import { notification, sqsEvent, sqsRecord } from './factories.ts'

/** An app that fails for 1002 while `failing` is set. The adapter has no `recall` option. */
function useApp() {
  const state = { failing: true, runs: [] as string[], committed: [] as string[], nowMs: 0 }
  const app = new Hono<AdapterEnv<string>>()
  app.post('/agents/status/:ref', (c) => {
    const ref = c.req.param('ref')
    state.runs.push(ref)
    if (ref === '1002' && state.failing) return c.text('later', 503)
    record(c, ref)
    return c.body(null, 204)
  })
  const handler = fromSqs<string>(app, {
    commit: async ({ effects }) => void state.committed.push(...effects),
    postpone: async () => undefined,
    now: () => state.nowMs,
    log: () => undefined,
  })
  const run = (receiveCount: number) =>
    handler(sqsEvent(sqsRecord([notification('1002', 1), notification('1003', 2)], { messageId: 'a', receiveCount })))
  return { state, run }
}

test('without the option recall, finished notifications are remembered in the process', async () => {
  const { state, run } = useApp()
  expect((await run(1)).batchItemFailures).toEqual([{ itemIdentifier: 'a' }])
  state.failing = false
  expect((await run(2)).batchItemFailures).toEqual([])
  expect(state.runs.toSorted()).toEqual(['1002', '1002', '1003'])
  expect(state.committed.toSorted()).toEqual(['1002', '1003'])
})

test('a finished notification is forgotten after an hour, and runs again', async () => {
  const { state, run } = useApp()
  await run(1)
  state.nowMs = 3_600_001
  await run(2)
  expect(state.runs.filter((ref) => ref === '1003')).toHaveLength(2)
})

test('without the option attempts the tenth attempt is the last', async () => {
  const { run } = useApp()
  expect((await run(9)).batchItemFailures).toHaveLength(1)
  expect((await run(10)).batchItemFailures).toEqual([])
})
