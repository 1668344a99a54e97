import fc from 'fast-check'
import { expect, test } from 'vitest'
import * as light from '../../infra/build/light/globals.ts'
import { LightHeaders } from '../../infra/build/light/headers.ts'
import { LightRequest } from '../../infra/build/light/request.ts'
import { LightResponse } from '../../infra/build/light/response.ts'

/** The same steps are done with Node's own classes and with those of the bundles; what is seen of them must be the same. */
type Classes = {
  readonly Headers: typeof Headers
  readonly Request: typeof Request
  readonly Response: typeof Response
}
type Subject = Headers | Request | Response

const NODE: Classes = { Headers, Request, Response }
const RUNS = { numRuns: 1_000 }

/** What came of it, as a text. */
async function see(work: () => unknown): Promise<string> {
  try {
    return toText(await work())
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : `thrown: ${toText(error)}`
  }
}

function toText(value: unknown): string {
  if (value instanceof Uint8Array || value instanceof ArrayBuffer)
    return `${value.constructor.name} ${Buffer.from(value as ArrayBuffer).toString('hex')}`
  if (value instanceof Blob) return `Blob ${value.type} ${value.size}`
  if (value instanceof FormData) return `FormData ${JSON.stringify([...value])}`
  if (value instanceof AbortSignal) return `AbortSignal ${value.aborted} ${String(value.reason)}`
  if (value instanceof ReadableStream) return `ReadableStream ${value.locked}`
  // Where an empty value was appended, Node's own lose the last space when they are copied: sooner here than there.
  return value === undefined ? 'undefined' : JSON.stringify(value).replaceAll(/([,;]) /g, '$1')
}

async function readAll(body: ReadableStream<Uint8Array> | null, options?: { mode: 'byob' }): Promise<unknown> {
  if (body === null) return null
  const chunks: Uint8Array[] = []
  const reader = options === undefined ? body.getReader() : body.getReader(options)
  for (;;) {
    const { done, value } =
      reader instanceof ReadableStreamBYOBReader ? await reader.read(new Uint8Array(3)) : await reader.read()
    if (done) return Buffer.concat(chunks).toString('hex')
    chunks.push(value)
  }
}

/** Compares after each step. `make` is given the classes. */
async function compare<T extends Subject>(
  make: (classes: Classes) => T,
  steps: readonly ((subject: T, classes: Classes) => unknown)[],
): Promise<void> {
  let node: T | undefined
  let own: T | undefined
  const made = [await see(() => void (node = make(NODE))), await see(() => void (own = make(light)))]
  expect(made[1]).toBe(made[0])
  for (const step of node === undefined ? [] : steps) {
    const expected = await see(() => step(node as T, NODE))
    expect(await see(() => step(own as T, light)), step.toString()).toBe(expected)
  }
}

const oddity = fc.constantFrom('', ' a ', 'a\tb', 'é', '☎', 'a\nb', 'a\0', '\r\n', 'x, y', 'text/html')
const value = fc.oneof(
  { weight: 3, arbitrary: fc.stringMatching(/^[ -~]{0,8}$/) },
  oddity,
  fc.constantFrom(1, null, undefined, { toString: () => 'made' }, ['a', 'b']),
) as fc.Arbitrary<string>
const name = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      'a',
      'A',
      'content-type',
      'Content-Type',
      'x-y',
      'cookie',
      'Cookie',
      'set-cookie',
      'Set-Cookie',
      '__proto__',
      'constructor',
    ),
  },
  oddity,
  fc.constantFrom(1, undefined, 'a b', 'x_y', 'a:'),
) as fc.Arbitrary<string>

const pairs = fc.array(fc.tuple(name, value), { maxLength: 4 })
type HeadersMaker = (classes: Classes) => unknown
const headersInit: fc.Arbitrary<HeadersMaker> = fc.oneof(
  pairs.map((all) => () => Object.fromEntries(all)),
  pairs.map((all) => () => all),
  pairs.map((all) => () => new Map(all)),
  pairs.map((all) => (classes: Classes) => new classes.Headers(all)),
  pairs.map((all) => (classes: Classes) => new classes.Headers(Object.fromEntries(all))),
  pairs.map((all) => () => new Headers(all)),
  fc.constantFrom<HeadersMaker>(
    () => undefined,
    () => null,
    () => 'a',
    () => [['a']],
    () => ({ [Symbol('s')]: 'a' }),
    () => Object.create({ a: 'b' }) as object,
    () =>
      new (class {
        a = 'b'
      })(),
  ),
)

type HeadersStep = (headers: Headers, classes: Classes) => unknown
const headersStep: fc.Arbitrary<HeadersStep> = fc.oneof(
  fc.tuple(name, value).map(
    ([n, v]): HeadersStep =>
      (headers) =>
        headers.set(n, v),
  ),
  fc.tuple(name, value).map(
    ([n, v]): HeadersStep =>
      (headers) =>
        headers.append(n, v),
  ),
  name.map(
    (n): HeadersStep =>
      (headers) =>
        headers.delete(n),
  ),
  name.map((n): HeadersStep => (headers) => [headers.get(n), headers.has(n)]),
  fc.tuple(name, value).map(([n, v]): HeadersStep => (headers) => {
    // What changes while it is gone through.
    const seen: unknown[] = []
    for (const entry of headers) {
      if (seen.push(entry) > 8) break
      if (seen.length === 1) headers.append(n, v)
      if (seen.length === 2) headers.delete(n)
    }
    return seen
  }),
  fc.constantFrom<HeadersStep>(
    (headers) => [
      [...headers],
      [...headers.keys()],
      [...headers.values()],
      [...headers.entries()],
      headers.getSetCookie(),
    ],
    (headers) => {
      const seen: unknown[] = []
      headers.forEach(function (this: unknown, v, n, all) {
        seen.push([v, n, all === headers, this])
      }, 'self')
      return seen
    },
    (headers) => headers.forEach(undefined as never),
    (headers, classes) => [...new classes.Headers(headers)],
    (headers) => [...new Headers(headers)],
    (headers, classes) => [headers instanceof classes.Headers, Object.prototype.toString.call(headers)],
  ),
)

test('headers: whatever they are made of, and whatever is done with them', async () => {
  await fc.assert(
    fc.asyncProperty(headersInit, fc.array(headersStep, { maxLength: 8 }), (init, steps) =>
      compare((classes) => new classes.Headers(init(classes) as never), [...steps, (headers) => [...headers]]),
    ),
    RUNS,
  )
})

const text = fc.constantFrom('', '{"a":1}', 'a=1&b=2', 'é☎', '\uFEFFbom', '\uD800', 'not json')
const body = fc.oneof(
  { weight: 3, arbitrary: text.map((one) => () => one) },
  fc.constantFrom<() => unknown>(
    () => null,
    () => undefined,
    () => new Uint8Array([1, 2]),
    () => new Blob(['b'], { type: 'text/x' }),
    () => new URLSearchParams('a=1'),
    () => ReadableStream.from([new Uint8Array([1])]),
    () => 5,
    () => ({}),
  ),
)

type MessageStep = (message: Request | Response, classes: Classes) => unknown
const messageStep: fc.Arbitrary<MessageStep> = fc.oneof(
  headersStep.map(
    (step): MessageStep =>
      (message, classes) =>
        step(message.headers, classes),
  ),
  fc.constantFrom<MessageStep>(
    (message) => message.text(),
    (message) => message.json(),
    (message) => message.arrayBuffer(),
    (message) => message.bytes(),
    (message) => message.blob(),
    (message) => message.formData(),
    (message) => message.bodyUsed,
    (message) => message.body,
    (message) => message.body === message.body,
    (message) => readAll(message.body),
    (message) => readAll(message.body, { mode: 'byob' }),
    // Not waited for: of a body that was cloned it waits for the clone.
    (message) => void message.body?.cancel().catch(() => undefined),
    (message) => message.body?.tee().length,
    async (message) => [...message.clone().headers, await message.clone().text()],
    (message) => {
      const copy = message.clone()
      copy.headers.set('x-copy', 'yes')
      return message.headers.get('x-copy')
    },
    (message) => message.headers === message.headers,
    (message) => Object.prototype.toString.call(message),
    (message) => [...message.headers],
  ),
)

type ResponseStep = (response: Response, classes: Classes) => unknown
const responseStep: fc.Arbitrary<ResponseStep> = fc.oneof(
  { weight: 3, arbitrary: messageStep },
  fc.constantFrom<ResponseStep>(
    (response) => [response.status, response.ok, response.statusText, response.type, response.url, response.redirected],
    async (response, classes) => {
      const next = new classes.Response(response.body, response)
      return [next.status, next.statusText, ...next.headers, await next.text()]
    },
    async (response) => [new Response(response.body, response).status, ...new Response(null, response).headers],
    (response, classes) => [response instanceof classes.Response, response instanceof classes.Request],
  ),
)

test('responses: whatever they are made of, and whatever is done with them', async () => {
  const status = fc.constantFrom(
    200,
    201,
    204,
    205,
    304,
    404,
    500,
    599,
    101,
    199,
    600,
    200.5,
    Number.NaN,
    '404',
    null,
    undefined,
  )
  const init = fc.record(
    { status, statusText: fc.constantFrom('', 'Fine', 'é☎', 5, undefined), headers: headersInit },
    { requiredKeys: [] },
  )
  await fc.assert(
    fc.asyncProperty(body, fc.option(init), fc.array(responseStep, { maxLength: 6 }), (bodyOf, options, steps) =>
      compare(
        (classes) =>
          new classes.Response(
            bodyOf() as never,
            (options === null
              ? undefined
              : { ...options, ...('headers' in options ? { headers: options.headers?.(classes) } : {}) }) as never,
          ),
        [...steps, ({ bodyUsed, headers }) => [bodyUsed, [...headers]]],
      ),
    ),
    RUNS,
  )
})

type RequestStep = (request: Request, classes: Classes) => unknown
const requestStep: fc.Arbitrary<RequestStep> = fc.oneof(
  { weight: 3, arbitrary: messageStep },
  fc.constantFrom<RequestStep>(
    ({
      method,
      url,
      destination,
      referrer,
      referrerPolicy,
      mode,
      credentials,
      cache,
      redirect,
      integrity,
      keepalive,
      duplex,
    }) => [
      method,
      url,
      destination,
      referrer,
      referrerPolicy,
      mode,
      credentials,
      cache,
      redirect,
      integrity,
      keepalive,
      duplex,
    ],
    (request) => request.signal,
    async (request, classes) => {
      const next = new classes.Request(request, { headers: { 'x-next': '1' } })
      return [next.method, next.url, ...next.headers, await next.text()]
    },
    async (request, classes) => {
      const next = new classes.Request('http://other/', request)
      return [next.method, next.url, ...next.headers, await next.text()]
    },
    (request, classes) => [request instanceof classes.Request, request instanceof classes.Response],
  ),
)

test('requests: whatever they are made of, and whatever is done with them', async () => {
  const url = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('http://enigma/agents/call/1002', 'https://h:8443/%2E/a b?q=é#part') },
    fc.constantFrom<unknown>('/relative', '', 'http://user:word@h/', 'data:,x', new URL('http://u/'), undefined),
  )
  const signal = fc.constantFrom(undefined, null, AbortSignal.abort('gone'), new AbortController().signal, {})
  const init = fc.record(
    {
      method: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'put', 'post', 'QUERY', 'TRACE', 'a b', undefined, 5),
      headers: headersInit,
      body,
      signal,
      redirect: fc.constant('manual'),
      duplex: fc.constant('half'),
    },
    { requiredKeys: [] },
  )
  await fc.assert(
    fc.asyncProperty(url, fc.option(init), fc.array(requestStep, { maxLength: 6 }), (input, options, steps) =>
      compare(
        (classes) =>
          new classes.Request(
            input as string,
            (options === null
              ? undefined
              : {
                  ...options,
                  ...('headers' in options ? { headers: options.headers?.(classes) } : {}),
                  ...('body' in options ? { body: options.body?.() } : {}),
                }) as never,
          ),
        [...steps, ({ bodyUsed, headers }) => [bodyUsed, [...headers]]],
      ),
    ),
    RUNS,
  )
})

test('a light one has all that Node’s own has', () => {
  for (const [node, own] of [
    [Headers, LightHeaders],
    [Request, LightRequest],
    [Response, LightResponse],
  ] as const) {
    expect(
      Reflect.ownKeys(node.prototype).filter((key) => !(key in own.prototype)),
      node.name,
    ).toEqual([])
  }
})

test('what is simple is light, and what is not is Node’s own', () => {
  expect(
    new light.Request('http://h/', {
      method: 'POST',
      headers: new light.Headers({ a: 'b' }),
      body: 'x',
      signal: AbortSignal.timeout(9),
    }),
  ).toBeInstanceOf(LightRequest)
  expect(new light.Response(null, { status: 204 })).toBeInstanceOf(LightResponse)
  expect(new light.Response(new Uint8Array(1))).not.toBeInstanceOf(LightResponse)
  expect(new light.Response(new Uint8Array(1))).toBeInstanceOf(Response)
})

test('several values are one line, with a space between', () => {
  for (const { Headers: Own } of [NODE, light]) {
    const headers = new Own({ a: '1', Cookie: '1' })
    headers.append('A', '2')
    headers.append('cookie', '2')
    expect([...headers]).toEqual([
      ['a', '1, 2'],
      ['cookie', '1; 2'],
    ])
  }
})

test('the type of a text that was taken away stays away', async () => {
  const step = (message: Request | Response) => {
    message.headers.delete('Content-Type')
    return message.blob()
  }
  await compare((classes) => new classes.Response('x'), [step, ({ headers }) => [...headers]])
  await compare(
    (classes) => new classes.Response('x'),
    [({ headers }) => headers.delete('content-type'), (response) => [...response.clone().headers]],
  )
  await compare(
    (classes) => new classes.Request('http://h/', { method: 'POST', body: 'x' }),
    [step, ({ headers }) => [...headers]],
  )
})

test('a signal is heard before and after Node’s own stands for the request', () => {
  const before = new AbortController()
  const early = new light.Request('http://h/', { signal: before.signal })
  before.abort(new Error('before'))
  expect(early.signal.reason).toEqual(new Error('before'))
  const after = new AbortController()
  const late = new light.Request('http://h/', { signal: after.signal })
  expect(late.signal.aborted).toBe(false)
  after.abort(new Error('after'))
  expect(late.signal.reason).toEqual(new Error('after'))
})

test('statics and classes that extend them are those of Node', async () => {
  class Own extends light.Response {
    get twice() {
      return this.status * 2
    }
  }
  const own = new Own('x', { status: 201 })
  expect([
    own.twice,
    await own.text(),
    own instanceof Own,
    own instanceof light.Response,
    own instanceof Response,
  ]).toEqual([402, 'x', true, true, true])
  expect(new light.Response('x') instanceof Own).toBe(false)
  expect(await light.Response.json({ a: 1 }).json()).toEqual({ a: 1 })
  expect(light.Response.error().type).toBe('error')
  expect(light.Response.name).toBe('Response')
  expect([null, 1, 'x', {}, [], new Map(), () => 0].some((value) => (value as unknown) instanceof light.Response)).toBe(
    false,
  )
})
