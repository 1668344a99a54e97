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
    'a step with a slip in its name',
    { steps: [{ ...ALIVE, name: 'alife' }] },
    /no step "alife"; its steps are agent_status, call/,
  ],
  ['a step of every object', { steps: [{ ...ALIVE, name: 'toString' }] }, /no step "toString"/],
  ['an argument that is missing', { steps: [{ ...ALIVE, values: { relay: 'r1' } }] }, /alive needs stamp, as a string/],
  ['a number', { steps: [{ ...ALIVE, values: { ...ALIVE.values, json: 7 } }] }, /alive needs json, as a string/],
  ['arguments too many', { steps: [{ ...ALIVE, rest: ['more'] }] }, /alive accepts no further arguments/],
  [
    'further arguments that are no texts',
    { steps: [{ name: 'done', values: { message: 'm' }, rest: [1] }] },
    /not an array of strings/,
  ],
])('%s is no effect, which is said with what to do', (_name, effect, words) => {
  expect(() => checkEffect(effect)).toThrow(
    expect.objectContaining({ code: 'store.effect.invalid', message: expect.stringMatching(words) as string }) as Error,
  )
})

test('an effect of typed steps is taken; one that no request can carry is not', () => {
  expect(toEffect([ALIVE])).toEqual({ steps: [ALIVE] })
  expect(() => toEffect([step('part', { subject: 'other', id: 'x', index: '0', text: 'x'.repeat(900_000) })])).toThrow(
    expect.objectContaining({ code: 'store.effect.too_large' }) as Error,
  )
})

test('G7: a wrong effect is parked with its own notification alone, and the rest of the batch is written', async () => {
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
