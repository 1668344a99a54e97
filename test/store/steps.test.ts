import { expect, test } from 'vitest'
import { Hono } from 'hono'
import { event, fromSqs, record, type AdapterEnv } from '../../src/adapter/index.ts'
import type { Parked } from '../../src/protocol/index.ts'
import { AgentStatus } from '../../src/protocol/index.ts'
import { agentStatus, checkEffect, step, toEffect, type Effect, type Step } from '../../src/store/index.ts'
import { notification, sqsEvent, sqsRecord } from '../adapter/factories.ts'
import { commitTo } from '../support/commit.ts'
import { useStore } from '../support/store.ts'

const ALIVE = step('alive', { relay: 'r1', stamp: 'main|relay|1|1|x', takes: '', json: '{}', change: '{}' })

test.each([
  ['nothing', undefined, /create it with toEffect/],
  ['an event', { id: 'x' }, /create it with toEffect/],
  ['steps of a former version', { ops: [['alive', 'r1']] }, /create it with toEffect/],
  [
    'a step with a misspelt name',
    { steps: [{ ...ALIVE, name: 'alife' }] },
    /no step "alife"; its steps are agent_status, call/,
  ],
  ['a step named like a method of every object', { steps: [{ ...ALIVE, name: 'toString' }] }, /no step "toString"/],
  ['a missing argument', { steps: [{ ...ALIVE, values: { relay: 'r1' } }] }, /alive needs stamp, as a string/],
  ['a number', { steps: [{ ...ALIVE, values: { ...ALIVE.values, json: 7 } }] }, /alive needs json, as a string/],
  ['an extra argument', { steps: [{ ...ALIVE, rest: ['more'] }] }, /alive accepts no further arguments/],
  [
    'a list of further arguments that are not strings',
    { steps: [{ name: 'done', values: { message: 'm' }, rest: [1] }] },
    /not an array of strings/,
  ],
])('%s is rejected as an effect with a helpful error', (_name, effect, words) => {
  expect(() => checkEffect(effect)).toThrow(
    expect.objectContaining({ code: 'store.effect.invalid', message: expect.stringMatching(words) as string }) as Error,
  )
})

test('toEffect accepts typed steps and rejects an effect that is too large for a request', () => {
  expect(toEffect([ALIVE])).toEqual({ steps: [ALIVE] })
  expect(() => toEffect([step('part', { subject: 'other', id: 'x', index: '0', text: 'x'.repeat(900_000) })])).toThrow(
    expect.objectContaining({ code: 'store.effect.too_large' }) as Error,
  )
})

test('G7: an invalid effect parks only its own notification, and the rest of the batch is committed', async () => {
  const { store } = await useStore()
  const parked: Parked[] = []
  const app = new Hono<AdapterEnv<Effect>>()
  app.post('/agents/status/:ref', async (c) => {
    const status = await event(c, AgentStatus)
    record(c, agentStatus(status))
    if (status.reference === '1003')
      record(c, { steps: [{ name: 'agent_satus', values: {}, rest: [] } as unknown as Step] })
    return c.body(null, 204)
  })
  const handler = fromSqs<Effect>(app, {
    check: checkEffect,
    commit: commitTo(store, (one) => parked.push(one)),
    postpone: async () => undefined,
  })
  expect(
    await handler(sqsEvent(sqsRecord([notification('1002', 1), notification('1003', 2), notification('1004', 3)]))),
  ).toEqual({
    batchItemFailures: [],
  })
  expect(parked.map(({ reason, status }) => [status, reason])).toEqual([
    [422, expect.stringContaining('no step "agent_satus"')],
  ])
  expect((await store.read.agents()).items.map(({ ref }) => ref)).toEqual(expect.arrayContaining(['1002', '1004']))
})
