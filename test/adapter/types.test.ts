import type { SQSHandler } from 'aws-lambda'
import { Hono } from 'hono'
import { expectTypeOf, test } from 'vitest'
import { event, fromSqs, record, type AdapterEnv } from '../../src/adapter/index.ts'
import { AgentStatus, Cdr } from '../../src/protocol/index.ts'
import { createWorld } from './world.ts'

type Effect = { readonly kind: 'cdr'; readonly dialedAt: number }

test('a handler fits the types of @types/aws-lambda', () => {
  expectTypeOf(fromSqs(new Hono(), createWorld().options)).toExtend<SQSHandler>()
})

test('the payload has the type of the schema, and only effects of the app can be recorded', () => {
  const app = new Hono<AdapterEnv<Effect> & { Bindings: { REGION: string } }>()
  app.post('/campaigns/cdr', async (c) => {
    const { payload } = await event(c, Cdr)
    expectTypeOf(payload.dialed_at).toEqualTypeOf<number | null>()
    expectTypeOf(c.env.REGION).toEqualTypeOf<string>()
    record(c, { kind: 'cdr', dialedAt: payload.dialed_at ?? 0 })
    // @ts-expect-error the app has no such effect
    record(c, { kind: 'status' })
    return c.body(null, 204)
  })
})

test('a handler that records nothing needs no types of the adapter', () => {
  new Hono().post('/agents/status/:ref?', async (c) => {
    expectTypeOf((await event(c, AgentStatus)).payload.status).toEqualTypeOf<string>()
    expectTypeOf((await event(c)).payload).toEqualTypeOf<unknown>()
    return c.body(null, 204)
  })
})
