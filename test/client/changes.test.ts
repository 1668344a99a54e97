import { expect, it } from 'vitest'
import type { ApiOptions } from '../../src/api/index.ts'
import { start } from '../cli/run.ts'
import { TOKEN } from '../api/api-world.ts'
import { useProxy } from '../support/proxy.ts'
import { useReservedPort } from '../support/reserved-port.ts'
import { createTestClient, eventually, follow, useChangingApi } from './client-world.ts'

const EVENTS: Pick<ApiOptions, 'events'> = { events: { pollMs: 5 } }
/** How an API offers changes, and the path that a client then requests. */
const WAYS: [string, Pick<ApiOptions, 'events'>, string][] = [
  ['Server-Sent Events', EVENTS, '/events'],
  ['polling', {}, '/changes'],
]
const numbers = (count: number) => Array.from({ length: count }, (_, at) => String(at))

it.each(WAYS)('by %s, each change is delivered once and in order, after an initial reset', async (_, api, path) => {
  const { client, change } = await useChangingApi(api)
  await change('before')
  const one = client()
  const { seen, stop, ended } = follow(one)
  await eventually(() => seen.resets).toBe(1)
  for (const ref of numbers(20)) await change(ref)
  await eventually(() => seen.refs.length).toBe(20)
  expect(seen).toMatchObject({ refs: numbers(20), resets: 1, connections: [true] })
  expect([...one.paths()]).toEqual(['/config', path])
  expect(one.sent.filter((request) => request.path === '/config')).toHaveLength(1)
  stop()
  await ended
})

it.each(WAYS)('by %s, filters apply, and a later iteration continues after a cursor', async (_, api) => {
  const { client, change } = await useChangingApi(api)
  const first = follow(client(), { type: 'agents/status', reference: '1' })
  await eventually(() => first.seen.resets).toBe(1)
  for (const ref of ['0', '1', '2', '1']) await change(ref)
  await eventually(() => first.seen.refs).toEqual(['1', '1'])
  // Paused, as on a hidden page.
  first.stop()
  await first.ended
  for (const ref of ['1', '3', '1']) await change(ref)
  const second = follow(client(), { reference: '1', after: first.seen.cursor })
  await eventually(() => second.seen.refs).toEqual(['1', '1'])
  expect(second.seen.resets).toBe(0)
  await change('1')
  await eventually(() => second.seen.refs).toEqual(['1', '1', '1'])
  const old = follow(client(), { after: '1-0' })
  await eventually(() => old.seen.resets).toBe(1)
  expect(old.seen.refs).toEqual([])
})

it.each(WAYS)('by %s, connections that are cut again and again lose and repeat no change', async (_, api, path) => {
  const world = await useChangingApi(api)
  const proxy = await useProxy(world.port)
  const client = createTestClient({ url: `http://127.0.0.1:${proxy.port}` })
  const { seen } = follow(client, { pollMs: 3 })
  await eventually(() => seen.resets).toBe(1)
  let cuts = 0
  for (const ref of numbers(60)) {
    await world.change(ref)
    // Cuts fall in the head of an answer, within an event, and between events.
    proxy.state.cutAfterBytes = Number(ref) % 10 === 9 ? undefined : 1 + ((Number(ref) * 167) % 1_100)
    if (Number(ref) % 3 === 0) proxy.cut()
    if (Number(ref) % 5 === 0) world.cut()
    if (Number(ref) % 10 === 9) {
      await eventually(() => seen.refs.length).toBe(Number(ref) + 1)
      cuts++
    }
  }
  expect(cuts).toBe(6)
  expect(client.sent.filter((request) => request.path === path).length).toBeGreaterThan(1)
  expect(seen).toMatchObject({ refs: numbers(60), resets: 1 })
})

it.each(WAYS)('by %s, an outage of the API is reported, and the missed changes follow', async (_, api) => {
  const { client, change, stop, start: startApi } = await useChangingApi(api)
  const { seen } = follow(client())
  await eventually(() => seen.connections).toEqual([true])
  await change('0')
  await eventually(() => seen.refs.length).toBe(1)
  await stop()
  await eventually(() => seen.connections).toEqual([true, false])
  expect(seen.problems).toEqual([undefined, 'network'])
  for (const ref of ['1', '2', '3']) await change(ref)
  await startApi()
  await eventually(() => seen.refs).toEqual(numbers(4))
  await eventually(() => seen.connections).toEqual([true, false, true])
  expect(seen.resets).toBe(1)
})

it('the client catches up after the API process is killed and restarted', async () => {
  const { proxy, change, store } = await useChangingApi(EVENTS)
  const port = await useReservedPort()
  const serve = async () => {
    const api = start(
      process.execPath,
      ['--conditions=source', '--disable-warning=ExperimentalWarning', 'test/client/api-process.ts'],
      { env: { STORE: proxy.url, PORT: String(port), API_TOKEN: TOKEN } },
    )
    await api.says('listening')
    return api
  }
  const first = await serve()
  const client = createTestClient({ url: `http://127.0.0.1:${port}` })
  const { seen } = follow(client)
  await eventually(() => seen.resets).toBe(1)
  await change('0')
  await eventually(() => seen.refs.length).toBe(1)
  first.child.kill('SIGKILL')
  await first.ended
  await change('1')
  await eventually(() => seen.connections).toEqual([true, false])
  await serve()
  await change('2')
  await eventually(() => seen.refs).toEqual(['0', '1', '2'])
  expect(seen.resets).toBe(1)
  await expect(store.read.agent('2')).resolves.toMatchObject({ ref: '2' })
})

it('the client waits for an API that is away at the beginning', async () => {
  const { client, change, stop, start: startApi } = await useChangingApi(EVENTS)
  await stop()
  const { seen } = follow(client())
  await eventually(() => seen.connections).toEqual([false])
  await change('before')
  await startApi()
  await eventually(() => seen.resets).toBe(1)
  await change('0')
  await eventually(() => seen.refs).toEqual(['0'])
})

it('when the API ends a stream, the client opens the next one without reporting an outage', async () => {
  const { client, change } = await useChangingApi({ events: { pollMs: 5, limitMs: 400 } })
  const one = client()
  const { seen } = follow(one)
  await eventually(() => seen.resets).toBe(1)
  for (const ref of numbers(40)) await change(ref)
  await eventually(() => one.sent.filter(({ path }) => path === '/events').length).toBeGreaterThan(3)
  await eventually(() => seen.refs.length).toBe(40)
  expect(seen).toMatchObject({ refs: numbers(40), resets: 1, connections: [true] })
  expect([...one.paths()]).toEqual(['/config', '/events'])
})

it('the client aborts a silent connection, reports it, and resumes after the last change', async () => {
  const world = await useChangingApi({ events: { pollMs: 5 } })
  const proxy = await useProxy(world.port)
  const client = createTestClient({ url: `http://127.0.0.1:${proxy.port}` })
  const connections: boolean[] = []
  const { seen } = follow(client, {
    silenceMs: 150,
    onConnection: (isConnected) => {
      connections.push(isConnected)
      // Data sent while the connection was half-open is lost. New data passes.
      if (!isConnected) proxy.state.halfOpen = false
    },
  })
  await eventually(() => seen.resets).toBe(1)
  proxy.state.halfOpen = true
  await world.change('0')
  await eventually(() => seen.refs).toEqual(['0'])
  expect(connections.slice(0, 3)).toEqual([true, false, true])
})

it.each([
  ['there are too many streams', undefined],
  ['a proxy answers instead', () => new Response('<html>', { status: 502 })],
  ['a proxy holds streams back', () => new Response(new ReadableStream({ start: (one) => one.close() }))],
  ['the runtime cannot read a stream', () => new Response(null, { status: 200 })],
  [
    'the API answers 404',
    () => Response.json({ type: 'urn:enigma-relay:problem:not-found', detail: '' }, { status: 404 }),
  ],
])('changes are polled while %s', async (_, answer) => {
  const world = await useChangingApi({ events: { pollMs: 5, maxStreams: 1 } })
  const taken = follow(world.client())
  await eventually(() => taken.seen.resets).toBe(1)
  const client = world.client({
    fetch: async (url, init) => (answer !== undefined && url.includes('/events') ? answer() : fetch(url, init)),
  })
  const { seen } = follow(client)
  await eventually(() => seen.resets).toBe(1)
  for (const ref of numbers(5)) await world.change(ref)
  await eventually(() => seen.refs).toEqual(numbers(5))
  expect(seen).toMatchObject({ resets: 1, connections: [true] })
  expect(client.sent.filter(({ path }) => path === '/events')).toHaveLength(1)
  expect(client.paths()).toContain('/changes')
})

const ELSEWHERE = 'https://stream.example.com/events'

/** An API whose changes another address streams, which a test can make fail, and a client of both. */
async function useElsewhere(eventsUrl: string = ELSEWHERE) {
  const world = await useChangingApi({ events: { pollMs: 5, limitMs: 300 }, eventsUrl })
  const state = { refuse: undefined as (() => Response | Promise<Response>) | undefined }
  const client = (own: Parameters<typeof createTestClient>[0] = {}) =>
    world.client({
      ...own,
      fetch: async (url, init) => {
        if (url.startsWith(world.url)) return fetch(url, init)
        return state.refuse?.() ?? fetch(url.replace(ELSEWHERE, `${world.url}/events`), init)
      },
    })
  return { ...world, state, client }
}

it('the client streams from the address in /config, with the token, the filters and masked', async () => {
  const { client, change } = await useElsewhere()
  const one = client({ masked: true })
  const { seen } = follow(one, { type: 'agents', reference: '1' })
  await eventually(() => seen.resets).toBe(1)
  await change('0')
  // More than one stream, since the API ends each after 300 ms.
  const streams = () => one.sent.filter(({ url }) => url.startsWith(`${ELSEWHERE}?`))
  await eventually(() => streams().length).toBeGreaterThan(2)
  await change('1')
  await eventually(() => seen.refs).toEqual(['1'])
  expect(seen).toMatchObject({ resets: 1, connections: [true] })
  const [first, second] = streams()
  const query = (url = '') => Object.fromEntries(new URL(url).searchParams)
  expect(query(first?.url)).toEqual({ type: 'agents', reference: '1', masked: 'true' })
  expect(first?.init.headers).toMatchObject({ authorization: `Bearer ${TOKEN}`, accept: 'text/event-stream' })
  expect(second?.init.headers).toHaveProperty('last-event-id')
  expect([...one.paths()]).toEqual(['/config', '/events'])
})

it.each([
  ['throttles, which a page cannot tell from a broken network', () => Promise.reject(new TypeError('Failed to fetch'))],
  ['throttles', () => Response.json({ Reason: 'ConcurrentInvocationLimitExceeded' }, { status: 429 })],
  [
    'does not know the token yet',
    () => Response.json({ type: 'urn:enigma-relay:problem:unauthorized' }, { status: 401 }),
  ],
  ['no longer exists', () => Response.json({ type: 'urn:enigma-relay:problem:not-found' }, { status: 404 })],
])('while the address of the stream %s, changes are polled', async (_, refuse) => {
  const { client, change, state } = await useElsewhere()
  state.refuse = refuse
  const one = client()
  const { seen } = follow(one)
  await eventually(() => seen.resets).toBe(1)
  for (const ref of numbers(5)) await change(ref)
  await eventually(() => seen.refs).toEqual(numbers(5))
  expect(seen).toMatchObject({ resets: 1, connections: [true] })
  expect(one.sent.filter(({ url }) => url.startsWith(ELSEWHERE))).toHaveLength(1)
})

it.each([
  'http://stream.example.com/events',
  '//stream.example.com/events',
  '/\\stream.example.com/events',
  'wss://stream.example.com/events',
  'javascript:alert(1)',
  'stream.example.com',
  '',
])('the token is not sent to the unsafe address %j', async (eventsUrl) => {
  const { client, url } = await useElsewhere(eventsUrl)
  const one = client()
  const { seen } = follow(one)
  await eventually(() => seen.resets).toBe(1)
  expect(one.sent.filter((request) => !request.url.startsWith(`${url}/`))).toEqual([])
  expect([...one.paths()]).toEqual(['/config', '/changes'])
})

it('the stream address may be an absolute http URL if it has the origin of the API', async () => {
  const world = await useChangingApi({ events: { pollMs: 5 } })
  const one = world.client({
    fetch: async (url, init) =>
      url.endsWith('/config') ? Response.json({ events: `${world.url}/events` }) : fetch(url, init),
  })
  const { seen } = follow(one)
  await eventually(() => seen.resets).toBe(1)
  expect([...one.paths()]).toEqual(['/config', '/events'])
})

it('a permanent error ends the iteration: an invalid token or cursor, or an address that is not the API', async () => {
  for (const [, api] of WAYS) {
    const { client } = await useChangingApi(api)
    await expect(follow(client({ token: 'x'.repeat(40) })).ended).rejects.toMatchObject({ code: 'unauthorized' })
    await expect(follow(client({ token: 'no token' })).ended).rejects.toMatchObject({ code: 'unauthorized' })
    await expect(follow(client(), { after: 'yesterday' }).ended).rejects.toMatchObject({ status: 400 })
    const page = client({ fetch: async () => new Response('<html>') })
    await expect(follow(page).ended).rejects.toMatchObject({ code: 'unexpected' })
  }
})

it.each(WAYS)(
  'by %s, the iteration ends on its signal and when the loop is left, and frees its stream',
  async (_, api) => {
    const { client, change } = await useChangingApi({
      events: api.events && { ...api.events, maxStreams: 1 },
    } as typeof api)
    const one = client()
    // With this interval, a poll would wait for ten minutes.
    const { seen, stop, ended } = follow(one, { pollMs: 600_000 })
    await eventually(() => seen.resets).toBe(1)
    stop()
    await ended
    const already = one.sent.length
    await follow(one, { signal: AbortSignal.abort() }).ended
    expect(one.sent).toHaveLength(already)

    // The only allowed stream is free again.
    const streams = () => one.sent.filter(({ path }) => path === '/events').length
    for (let times = 0; times < 2; times++) {
      await eventually(async () => {
        const [before, polls] = [streams(), one.sent.filter(({ path }) => path === '/changes').length]
        for await (const { changes: _changes } of one.changes()) break
        const isPolled = one.sent.filter(({ path }) => path === '/changes').length > polls
        return api.events === undefined || (streams() > before && !isPolled)
      }).toBe(true)
    }
    const controller = new AbortController()
    const refs: string[] = []
    let resets = 0
    for await (const { changes, reset } of one.changes({ signal: controller.signal, pollMs: 5 })) {
      expect(controller.signal.aborted).toBe(false)
      if (reset && ++resets === 1) for (const ref of numbers(3)) await change(ref)
      refs.push(...changes.map(({ ref }) => ref))
      if (refs.length > 0) controller.abort()
    }
    expect(refs[0]).toBe('0')
  },
)

it('after its signal, the iteration delivers no change, even if it has already arrived', async () => {
  const { client } = await useChangingApi(EVENTS)
  const event = (cursor: string) =>
    `event: changes\ndata: ${JSON.stringify({ items: [{ ref: cursor }], cursor, more: false, reset: false })}\nid: ${cursor}\n\n`
  const one = client({
    fetch: (url, init) =>
      url.includes('/events') ? Promise.resolve(new Response(event('1-0') + event('2-0'))) : fetch(url, init),
  })
  const controller = new AbortController()
  const cursors: string[] = []
  for await (const { cursor } of one.changes({ signal: controller.signal })) {
    cursors.push(cursor)
    controller.abort()
  }
  expect(cursors).toEqual(['1-0'])
})

it('while the API is away, the client backs off between requests', async () => {
  const { client, stop } = await useChangingApi()
  const one = client({ backoffMs: (failures) => (failures < 4 ? failures : 600_000) })
  await stop()
  const { seen } = follow(one)
  await eventually(() => one.sent.length).toBe(4)
  expect(seen.connections).toEqual([false])
})
