import { globSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { createApi } from '../../src/api/index.ts'
import { createEdge, type EdgeOptions } from '../../src/edge/index.ts'
import { setting } from '../../src/settings/index.ts'
import * as other from '../../functions/other.ts'
import { functions } from '../../functions/all.ts'
import { formatEvent } from '../../src/protocol/index.ts'
import { notification } from '../adapter/factories.ts'
import { useStore } from '../support/store.ts'

const TOKEN = 'a-token-of-the-test-of-32-characters'
const ENV = {
  UPSTASH_REDIS_REST_URL: 'http://127.0.0.1:9',
  UPSTASH_REDIS_REST_TOKEN: 'x',
  ENIGMA_TARGET_TOKEN: TOKEN,
  API_TOKEN: TOKEN,
}
const edgeOf = (own: Partial<EdgeOptions> = {}) => createEdge({ functions: [other], log: () => undefined, ...own })
const ask = (path: string) =>
  new Request(`https://edge.example.com${path}`, { headers: { authorization: `Bearer ${TOKEN}` } })

test('functions/all.ts has every function', () => {
  const root = fileURLToPath(new URL('../../functions/', import.meta.url))
  const files = globSync('*/*.ts', { cwd: root }).map((file) => file.replace('.ts', ''))
  const routes = functions.flatMap(({ route }) => (route === undefined ? [] : [`${route.type}/${route.subType}`]))
  expect(routes.toSorted()).toEqual(files.toSorted())
  expect(functions).toContain(other)
})

test.each([
  ['functions.target.invalid', { ENIGMA_TARGET_TOKEN: ' ' }],
  ['functions.target.invalid', { ENIGMA_TARGET_SECRET: 'whsec_?' }],
  ['functions.tokens.missing', { API_TOKEN: undefined }],
  ['store.address.missing', { UPSTASH_REDIS_REST_URL: '' }],
  ['functions.time_zone.invalid', { ENIGMA_TIME_ZONE: 'Mars' }],
])(
  'invalid variables stop the start of a process with %s; if they come with a request, the error is logged once',
  async (code, wrong) => {
    const env = { ...ENV, ...wrong }
    expect(() => edgeOf({ env })).toThrow(expect.objectContaining({ code }) as Error)
    const lines: object[] = []
    const edge = edgeOf({ log: (line) => void lines.push(line) })
    for (const path of ['/health', '/notifications']) {
      const answer = await edge.fetch(ask(path), env)
      expect([answer.status, await answer.text()]).toEqual([500, expect.not.stringContaining('TOKEN')])
    }
    expect(lines).toMatchObject([
      { code: 'functions.edge.not_configured', error: expect.stringMatching(/[A-Z]+_[A-Z]+/) as string },
    ])
    expect(JSON.stringify(lines)).not.toContain(TOKEN)
  },
)

test('an API of your own has its own endpoints, and a handler reads its settings from the variables of the platform', async () => {
  const api: EdgeOptions['api'] = (options) =>
    createApi(options).get('/crm', async (c) => c.text(await setting('CRM_URL')))
  const answer = await edgeOf({ api }).fetch(ask('/crm'), { ...ENV, CRM_URL: ' https://crm.example.com ', ASSETS: {} })
  expect(await answer.text()).toBe('https://crm.example.com')
})

test('the edge asks the platform to keep a request running until it ends', async () => {
  const held = Promise.withResolvers<Response>()
  const api = () => ({ fetch: () => held.promise })
  const works: Promise<unknown>[] = []
  const answer = edgeOf({ api }).fetch(ask('/'), ENV, { waitUntil: (work) => void works.push(work) })
  let isOver = false
  void works[0]?.then(() => (isOver = true))
  await Promise.resolve()
  expect([works.length, isOver]).toEqual([1, false])
  held.reject(new Error('fails'))
  await expect(answer).rejects.toThrow('fails')
  await works[0]
  expect(isOver).toBe(true)
})

test('when a request has not ended after 60 seconds, the edge is rebuilt once', async () => {
  let [nowMs, made, hangs] = [0, 0, true]
  const api = () => {
    made++
    return { fetch: () => (hangs ? new Promise<Response>(() => undefined) : new Response('answered')) }
  }
  const edge = edgeOf({ api, now: () => nowMs })
  void edge.fetch(ask('/'), ENV)
  hangs = false
  nowMs = 60_000
  expect([await (await edge.fetch(ask('/'), ENV)).text(), made]).toEqual(['answered', 1])
  nowMs = 60_001
  expect([await (await edge.fetch(ask('/'), ENV)).text(), made]).toEqual(['answered', 2])
  nowMs = 200_000
  expect([await (await edge.fetch(ask('/'), ENV)).text(), made]).toEqual(['answered', 2])
})

test('the schedule lists a call whose CDR is missing, and logs a failure', async () => {
  const { proxy } = await useStore()
  let nowMs = Date.now()
  const lines: object[] = []
  const env = { ...ENV, UPSTASH_REDIS_REST_URL: proxy.url, UPSTASH_REDIS_REST_TOKEN: 'test-token' }
  const edge = edgeOf({ functions, env, now: () => nowMs, log: (line) => void lines.push(line) })
  let index = 0
  const deliver = async (type: string, reference: string, payload: object) => {
    const time = new Date(nowMs).toISOString()
    const data = JSON.stringify({ type: type.split('.')[2], payload })
    const body = `[${formatEvent(notification(reference, ++index, { type, time, data }))}]`
    const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/cloudevents-batch+json' }
    const request = new Request('https://edge.example.com/notifications', { method: 'POST', headers, body })
    expect(await (await edge.fetch(request)).json()).toMatchObject({ outcomes: [{ outcome: 'done' }] })
  }
  const alive = async () =>
    deliver('enigma.relay.alive', 'pbx-1', {
      relay: 'pbx-1',
      sources: ['main'],
      lists: ['enigma:notifications:campaigns'],
      started: new Date(nowMs).toISOString(),
    })
  await alive()
  await deliver('enigma.agents.call', '1002', { ref: '1002', call_ref: '77', number: '27821234567' })
  await deliver('enigma.agents.status', '1002', { ref: '1002', status: 'wrapup', campaign_ref: '7' })
  const missing = async () => (await edge.fetch(ask('/missing'))).json()
  await edge.scheduled()
  expect(await missing()).toMatchObject({ items: [] })
  nowMs += 16 * 60_000
  await alive()
  await edge.scheduled()
  expect([await missing(), lines]).toMatchObject([{ items: [{ call_ref: '77', agent: '1002' }] }, []])
  await proxy.stop()
  await edge.scheduled()
  expect(lines).toMatchObject([{ code: 'functions.edge.schedule_failed' }])
})
