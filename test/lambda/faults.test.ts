import { expect, test } from 'vitest'
import { defineRoute } from '../../src/protocol/index.ts'
import { withFaults, type Fault } from '../../src/lambda/faults.ts'
import * as v from 'valibot'

const route = defineRoute({ type: 'agents', subType: 'break', payload: v.unknown() })
const app = { fetch: () => new Response(null, { status: 204 }) }
const answersOf = async (faults: readonly Fault[], ids: readonly string[]) => {
  const { fetch } = withFaults(app, route, JSON.stringify(faults))
  return Promise.all(
    ids.map(async (id) => (await fetch(new Request('http://x/', { headers: { 'ce-id': id } }), { enigma: 1 })).status),
  )
}
const IDS = Array.from({ length: 2_000 }, (_, at) => `main/p/1769846400000/${at}`)

test('a share of the notifications fails, the same ones each time, until the fault expires', async () => {
  const fault = { route: 'agents-break', status: 422, share: 0.2 }
  const first = await answersOf([fault], IDS)
  const failed = first.filter((status) => status === 422).length
  expect(failed).toBeGreaterThan(300)
  expect(failed).toBeLessThan(500)
  expect(await answersOf([fault], IDS)).toEqual(first)
  expect(new Set(await answersOf([{ ...fault, share: 1 }], IDS))).toEqual(new Set([422]))
  expect(new Set(await answersOf([{ ...fault, untilMs: Date.now() - 1 }], IDS))).toEqual(new Set([204]))
  expect(await answersOf([{ ...fault, untilMs: Date.now() + 60_000 }], IDS)).toEqual(first)
})

test('a fault does not affect another route, and an app without faults is not wrapped', async () => {
  expect(withFaults(app, route, JSON.stringify([{ route: 'agents-call', status: 500, share: 1 }]))).toBe(app)
  expect(withFaults(app, route)).toBe(app)
  expect(withFaults(app, route, '')).toBe(app)
})
