import { expect, test } from 'vitest'
import { toHandler, wire } from '../../src/lambda/wiring.ts'
import { OTHER } from '../../src/protocol/index.ts'

const NO_ROUTE = expect.objectContaining({
  code: 'functions.routes.invalid',
  message: expect.stringMatching(/no route.*defineRoute/) as string,
}) as Error

test('a handler without a route is refused when it is made', () => {
  const app = { fetch: () => new Response() }
  for (const route of [undefined, null, {}, { name: '' }]) {
    expect(() => wire(route as never)).toThrow(NO_ROUTE)
    expect(() => toHandler(app, route as never)).toThrow(NO_ROUTE)
  }
})

test('the attempts of a route are those of its handler', () => {
  expect(wire({ ...OTHER, attempts: 7, maxReceiveCount: 50 })).toMatchObject({ route: 'other', attempts: 7 })
})
