import { agentCall, agentStatus, type ChangesPage, type Wall } from 'enigma-relay/store'
import { expect, it } from 'vitest'
import { useRedisClient } from '../support/redis.ts'
import { AUTH, notice, useApi } from './api-world.ts'

const OTHERS = 'jane:operate:operate-token-of-the-test-of-32-c\njoe:masked:masked-token-of-the-test-of-32-c'
const as = (token: string) => ({ authorization: `Bearer ${token}` })
const status = (word: string, ref = '1002') =>
  agentStatus(notice({ status: word, campaign_ref: '7', ref }, { reference: ref }))

/** Reads a stream until it has sent this many events. */
async function readEvents(response: Response, count: number) {
  const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  const events = () =>
    text
      .split('\n\n')
      .slice(0, -1)
      .map((block) =>
        Object.fromEntries(block.split('\n').map((line) => line.split(/: ?(.*)/s, 2) as [string, string])),
      )
  while (events().filter(({ event }) => event).length < count) {
    const { value, done } = await reader.read()
    if (done) break
    text += value
  }
  return { events: events(), end: () => reader.cancel(), reader }
}

it('GET /changes returns a cursor, then the changes after it, and refuses a bad cursor', async () => {
  const { commit, json, get } = await useApi()
  await commit(status('available'))
  const { cursor, items } = await json<ChangesPage>('/changes')
  expect(items).toEqual([])
  await commit(status('busy'))
  const page = await json<ChangesPage>(`/changes?after=${cursor}&type=agents&reference=1002`)
  expect(page.items).toMatchObject([{ type: 'agents/status', ref: '1002', campaign_ref: '7', state: 'busy' }])
  expect(await json<ChangesPage>(`/changes?after=${page.cursor}`)).toMatchObject({ items: [], reset: false })
  expect(await json<ChangesPage>('/changes?after=1-0')).toMatchObject({ reset: true, cursor: page.cursor })
  const refused = await get('/changes?after=yesterday')
  expect([refused.status, await refused.json()]).toMatchObject([400, { parameter: 'after' }])
})

it('GET /events streams changes and resumes after Last-Event-ID', async () => {
  const { commit, get } = await useApi({ events: { pollMs: 10 } })
  const response = await get('/events')
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  const {
    events: [begin],
    end,
    reader,
  } = await readEvents(response, 1)
  expect(begin).toMatchObject({ event: 'changes', id: '0-0' })
  await commit(status('available'))
  await reader.read()
  await end()
  await commit(status('busy'))
  await commit(status('wrapup', '1003'))
  const again = await readEvents(await get('/events?type=agents', { 'last-event-id': begin?.['id'] ?? '' }), 1)
  expect(JSON.parse(again.events[0]?.['data'] ?? '')).toMatchObject({ reset: true })
  await again.end()
  const { cursor } = (await (await get('/changes')).json()) as ChangesPage
  await commit(status('available'))
  const third = await readEvents(await get('/events', { 'last-event-id': cursor }), 1)
  expect(JSON.parse(third.events[0]?.['data'] ?? '')).toMatchObject({ items: [{ ref: '1002', state: 'available' }] })
  await third.end()
})

it('a stream over the limit gets a 503, a closed stream frees its place, and each ends after its time limit', async () => {
  const { get } = await useApi({ events: { pollMs: 5, maxStreams: 1, limitMs: 60_000 } })
  const first = await readEvents(await get('/events'), 1)
  const refused = await get('/events')
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '15'])
  await first.end()
  await expect.poll(async () => (await get('/events')).status).toBe(200)

  const short = await useApi({ events: { pollMs: 5, limitMs: 50 } })
  const { reader } = await readEvents(await short.get('/events'), 1)
  while (!(await reader.read()).done) continue
  // A HEAD request holds no stream.
  for (let times = 0; times < 3; times++)
    expect((await short.app.request('/events', { method: 'HEAD', headers: AUTH })).status).toBe(200)
})

it('an API without events answers 404, and /config shows what the API offers and the role of the token', async () => {
  const { get, app, json } = await useApi({ tokens: OTHERS })
  expect((await get('/events')).status).toBe(404)
  expect(await json('/config')).toEqual({
    name: 'api-token',
    role: 'read',
    events: null,
    replays: false,
    dead_letters: false,
  })
  const jane = await app.request('/config', { headers: as('operate-token-of-the-test-of-32-c') })
  expect(await jane.json()).toMatchObject({ name: 'jane', role: 'operate' })
  const offering = await useApi({
    events: {},
    replay: { commit: async () => {}, sendStep: async () => {}, sendCommand: async () => {}, drain: async () => {} },
  })
  expect(await offering.json('/config')).toMatchObject({ events: '/events', replays: true })
})

it('/config returns the configured stream address, whether or not the API streams itself', async () => {
  const eventsUrl = 'https://stream.example.com/events'
  for (const own of [{}, { events: {} }])
    expect(await (await useApi({ ...own, eventsUrl })).json('/config')).toMatchObject({ events: eventsUrl })
})

it('a streaming-only API answers 404 on all other paths, even added ones, and lets any origin read', async () => {
  const { app, get } = await useApi({ events: { pollMs: 10 }, only: 'events', corsOrigin: '*' })
  app.get('/pops', (c) => c.text('mine'))
  for (const path of ['/', '/config', '/changes', '/agents', '/health', '/openapi.json', '/pops', '/events/1']) {
    const refused = await get(path, { origin: 'https://console.example.com' })
    expect([path, refused.status]).toEqual([path, 404])
    expect(refused.headers.get('content-type')).toBe('application/problem+json')
  }
  expect((await app.request('/events', { method: 'POST', headers: AUTH })).status).toBe(405)
  expect((await app.request('/events')).status).toBe(401)
  const response = await get('/events', { origin: 'https://console.example.com' })
  expect([response.status, response.headers.get('access-control-allow-origin')]).toEqual([200, '*'])
  const { events, end } = await readEvents(response, 1)
  expect(events[0]).toMatchObject({ event: 'changes' })
  await end()
})

it('GET /wall takes less than 300 kB for 2,000 agents, and shows the same agents to the role masked', async () => {
  const { commit, json, app } = await useApi({ tokens: OTHERS })
  for (let from = 0; from < 2_000; from += 100)
    await commit(
      ...Array.from({ length: 100 }, (_, at) => String(10_000 + from + at)).flatMap((ref) => [
        status('busy', ref),
        // Every agent has a call.
        agentCall(
          notice({ ref, call_ref: `9007199254${ref}`, number: '27821234567' }, { subType: 'call', reference: ref }),
        ),
      ]),
    )
  const wall = await json<Wall>('/wall')
  expect(wall.totals).toMatchObject({ agents: { busy: 2_000 }, calls: 2_000 })
  expect(JSON.stringify(wall).length).toBeLessThan(300_000)
  const masked = await app.request('/wall', { headers: as('masked-token-of-the-test-of-32-c') })
  expect(await masked.json()).toMatchObject({ totals: wall.totals, agents: wall.agents })
})

it('the limit of open streams holds even when many are requested at once', async () => {
  const { get } = await useApi({ events: { pollMs: 10, maxStreams: 2 } })
  const all = await Promise.all(Array.from({ length: 10 }, () => get('/events')))
  expect(all.filter((one) => one.status === 200)).toHaveLength(2)
  expect(all.filter((one) => one.status === 503)).toHaveLength(8)
  for (const { body } of all) await body?.cancel()
})

it.each([
  ['whose client does not read ends after its time limit', { pollMs: 5, maxStreams: 1, limitMs: 50 }, false],
  ['whose client leaves during a blocked write frees its place', { pollMs: 5, maxStreams: 1 }, true],
])('a stream %s', async (_, options, isLeft) => {
  const { get, commit } = await useApi({ events: options })
  const slow = await get('/events')
  // More changes than a stream buffers for a client that does not read.
  for (let n = 0; n < 10; n++) await commit(status(`s${n}`))
  if (isLeft) await slow.body?.cancel()
  await expect
    .poll(async () => {
      const again = await get('/events')
      if (again.status === 200) await again.body?.cancel()
      return again.status
    })
    .toBe(200)
})

it('a stream survives an outage of the read model without a missed change, and the role masked sees no number', async () => {
  const { app, commit, redis, proxy } = await useApi({ tokens: OTHERS, events: { pollMs: 10 } })
  const client = await useRedisClient(redis.url)
  await commit(status('first'))
  const { reader } = await readEvents(
    await app.request('/events', { headers: as('masked-token-of-the-test-of-32-c') }),
    1,
  )
  await client.sendCommand(['ACL', 'SETUSER', 'default', '-xrange'])
  const before = proxy.seen.requests
  await commit(status('27821234567'), status('second'))
  await expect.poll(() => proxy.seen.requests - before).toBeGreaterThan(5)
  await client.sendCommand(['ACL', 'SETUSER', 'default', '+xrange'])
  let text = ''
  while (!text.includes('second')) {
    const { value, done } = await reader.read()
    if (done) break
    text += value
  }
  expect(text).toContain('"state":"***********"')
  expect(text).not.toContain('27821234567')
  await reader.cancel()
})
