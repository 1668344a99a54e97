import { inspect } from 'node:util'
import { expect, it } from 'vitest'
import { ApiProblem, type ClientOptions } from '../../src/client/index.ts'
import { parseRetryAfter } from '../../src/client/api-problem.ts'
import { TOKEN } from '../api/api-world.ts'
import { useReservedPort } from '../support/reserved-port.ts'
import { createTestClient, eventually, useAnswers, useServedApi } from './client-world.ts'

/** Returns the problem with which a call rejects. */
async function problemOf(call: Promise<unknown>): Promise<ApiProblem> {
  const error: unknown = await call.then(
    () => undefined,
    (rejection: unknown) => rejection,
  )
  expect(error).toBeInstanceOf(ApiProblem)
  return error as ApiProblem
}

const UNAVAILABLE = JSON.stringify({ type: 'urn:enigma-relay:problem:unavailable', status: 503, detail: 'away' })

it('a problem has the code of its URN, its message, its parameter and the known parameters', async () => {
  const { client } = await useServedApi()
  const { agents, agent, cdrs } = client()
  expect(await problemOf(agent('none'))).toMatchObject({
    status: 404,
    code: 'not-found',
    parameter: 'ref',
    message: expect.stringContaining('no agent') as string,
  })
  expect(await problemOf(agents({ limit: 501 }))).toMatchObject({
    status: 400,
    code: 'bad-parameter',
    parameter: 'limit',
  })
  expect(await problemOf(cdrs({ compaign: '7' } as object))).toMatchObject({
    code: 'unknown-parameter',
    known: expect.arrayContaining(['campaign']) as string[],
  })
  expect(await problemOf(client({ token: 'x'.repeat(40) }).agents())).toMatchObject({
    status: 401,
    code: 'unauthorized',
  })
})

it('a read is retried while the API is away, within the limits of retries and waiting time', async () => {
  const { url, count } = await useAnswers((_, response, at) => {
    if (at === 1) response.destroy()
    else if (at === 2) response.writeHead(503, { 'retry-after': '0' }).end(UNAVAILABLE)
    else if (at === 3) response.writeHead(502).end('<html>')
    else response.end('{"items":[]}')
  })
  const { dialers } = createTestClient({ url })
  expect(await dialers()).toEqual({ items: [] })
  expect(count()).toBe(4)

  const away = await useAnswers((_, response) => response.writeHead(503, { 'retry-after': '0' }).end(UNAVAILABLE))
  expect(await problemOf(createTestClient({ url: away.url, retries: 2 }).dialers())).toMatchObject({
    status: 503,
    code: 'unavailable',
    retryAfterMs: 0,
  })
  expect(away.count()).toBe(3)
  // Longer than a caller should wait without an answer.
  const later = await useAnswers((_, response) => response.writeHead(503, { 'retry-after': '60' }).end(UNAVAILABLE))
  expect(await problemOf(createTestClient({ url: later.url }).dialers())).toMatchObject({ retryAfterMs: 60_000 })
  expect(later.count()).toBe(1)
})

it('a read whose body is cut halfway is retried', async () => {
  const { url, count } = await useAnswers((_, response, at) => {
    response.writeHead(200, { 'content-length': '12' })
    if (at > 1) return void response.end('{"items":[]}')
    response.write('{"ite')
    setImmediate(() => response.destroy())
  })
  expect(await createTestClient({ url }).dialers()).toEqual({ items: [] })
  expect(count()).toBe(2)
})

it('a write, a reveal or an invalid request is never retried', async () => {
  const { url, count } = await useAnswers((_, response, at) =>
    at % 2 === 1 ? void response.destroy() : void response.writeHead(503).end(UNAVAILABLE),
  )
  const { startReplay, deleteParked, restore, drain, stopReplay, parkedEntry } = createTestClient({ url })
  const calls = [
    () => startReplay({ ids: ['a'] }),
    () => deleteParked({ filter: {} }),
    () => restore(['a']),
    () => drain(),
    () => stopReplay('a'),
    () => parkedEntry('a', { reveal: true }),
  ]
  const codes = []
  for (const call of calls) codes.push((await problemOf(call())).code)
  expect(codes).toEqual(['network', 'unavailable', 'network', 'unavailable', 'network', 'unavailable'])
  expect(count()).toBe(calls.length)

  const bad = await useAnswers((_, response) => response.writeHead(400).end('{}'))
  await problemOf(createTestClient({ url: bad.url }).agents())
  expect(bad.count()).toBe(1)
})

it('an unreachable API, a timeout and an unexpected answer have different codes', async () => {
  const port = await useReservedPort()
  const refused = createTestClient({ url: `http://127.0.0.1:${port}`, retries: 0 })
  expect(await problemOf(refused.agents())).toMatchObject({
    status: 0,
    code: 'network',
    cause: expect.any(Error) as Error,
  })
  const silent = await useAnswers(() => undefined)
  expect(await problemOf(createTestClient({ url: silent.url, timeoutMs: 500 }).agents())).toMatchObject({
    status: 0,
    code: 'timeout',
  })
  expect(silent.count()).toBe(1)
  const half = await useAnswers((_, response) => void response.writeHead(200).write('{'))
  expect(await problemOf(createTestClient({ url: half.url }).agents({ timeoutMs: 100 }))).toMatchObject({
    code: 'timeout',
  })
  const page = await useAnswers((_, response) => response.end('<html>'))
  expect(await problemOf(createTestClient({ url: page.url }).agents())).toMatchObject({
    status: 200,
    code: 'unexpected',
  })
  const other = await useAnswers((_, response) => response.writeHead(404).end('{"type":"about:blank"}'))
  expect(await problemOf(createTestClient({ url: other.url }).agents())).toMatchObject({
    status: 404,
    code: 'unexpected',
  })
})

it('a redirect is not followed: the token is for one address, and a write would become a read', async () => {
  const target = await useAnswers((_, response) => response.end('{}'))
  const { url } = await useAnswers((_, response) => response.writeHead(302, { location: target.url }).end())
  const { agents, drain } = createTestClient({ url })
  for (const call of [agents(), drain()])
    expect(await problemOf(call)).toMatchObject({ status: 302, code: 'unexpected' })
  expect(target.count()).toBe(0)
})

it('a signal ends a call at once with its reason: before the request, during it, and before a retry', async () => {
  const silent = await useAnswers(() => undefined)
  const { agents, drain, cdrs } = createTestClient({ url: silent.url })
  const reason = new Error('the page was closed')
  await expect(agents({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  expect(silent.count()).toBe(0)
  for (const call of [(signal: AbortSignal) => cdrs({ signal }), (signal: AbortSignal) => drain({ signal })]) {
    const controller = new AbortController()
    const count = silent.count()
    const outcome = expect(call(controller.signal)).rejects.toBe(reason)
    await eventually(silent.count).toBe(count + 1)
    controller.abort(reason)
    await outcome
  }
  const away = await useAnswers((_, response) => response.writeHead(503).end(UNAVAILABLE))
  const controller = new AbortController()
  const waiting = createTestClient({ url: away.url, backoffMs: () => 9_999 }).agents({ signal: controller.signal })
  const outcome = expect(waiting).rejects.toBe(reason)
  await eventually(away.count).toBe(1)
  controller.abort(reason)
  await outcome
})

it('finished calls leave no listener on their signal', async () => {
  const { url } = await useAnswers((_, response) => response.end('{}'))
  const { signal } = new AbortController()
  let listeners = 0
  const counted = Object.assign(
    new Proxy(signal, {
      get: (target, name) => {
        if (name === 'addEventListener') listeners++
        if (name === 'removeEventListener') listeners--
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    }),
  )
  const { wall } = createTestClient({ url })
  for (let at = 0; at < 20; at++) await wall({ signal: counted })
  expect(listeners).toBe(0)
})

it('the token is in no URL and in no error, whatever fails', async () => {
  const port = await useReservedPort()
  const broken = await useAnswers((_, response, at) => (at % 2 === 1 ? response.destroy() : response.end('<html>')))
  const redirect = await useAnswers((_, response) => response.writeHead(307, { location: '/elsewhere' }).end())
  const { url } = await useServedApi()
  const cases: Partial<ClientOptions>[] = [
    { url, token: `${TOKEN}x` },
    { url, token: `${TOKEN}\n` },
    { url, token: `${TOKEN} – ` },
    { url, token: async () => `${TOKEN}\r\nx: y` },
    { url: `http://127.0.0.1:${port}` },
    { url: broken.url },
    { url: broken.url },
    { url: redirect.url },
    { url: 'no address' },
  ]
  const errors = []
  for (const options of cases) {
    const { agents, drain, sent } = createTestClient({ retries: 0, ...options, fetch: globalThis.fetch })
    errors.push(await problemOf(agents({ campaign: '7' })), await problemOf(drain()))
    for (const one of sent) expect(one.url).not.toContain(TOKEN)
  }
  for (const error of errors) {
    expect(inspect(error, { depth: Infinity, showHidden: true })).not.toContain(TOKEN)
    expect(JSON.stringify(error)).not.toContain(TOKEN)
  }
})

it('a token function is called before each request', async () => {
  const { client } = await useServedApi()
  const tokens = [TOKEN, 'x'.repeat(40), TOKEN]
  const { agents } = client({ token: () => tokens.shift() ?? '' })
  await agents()
  expect(await problemOf(agents())).toMatchObject({ code: 'unauthorized' })
  await agents()
})

it('Retry-After is seconds or a date', () => {
  const nowMs = Date.parse('2026-01-31T08:00:00Z')
  const read = (text: string | null) => parseRetryAfter(text, nowMs)
  expect(
    ['5', '0', 'Sat, 31 Jan 2026 08:00:07 GMT', 'Sat, 31 Jan 2026 07:00:00 GMT', 'soon', '-1', null].map(read),
  ).toEqual([5_000, 0, 7_000, 0, undefined, undefined, undefined])
})
