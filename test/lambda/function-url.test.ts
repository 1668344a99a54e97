import { build } from 'esbuild'
import { mkdir } from 'node:fs/promises'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Readable } from 'node:stream'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { handleUrl } from '../../src/lambda/handle-url.ts'
import { FUNCTION_BUNDLE } from '../../infra/build/bundle-functions.ts'
import { createFunctionUrl, createLambdaFunction } from '../../src/local/lambda/lambda-function.ts'
import { ROOT } from '../cli/run.ts'
import { useFolder } from '../support/relay.ts'

const TOKEN = 'api-token-of-the-test-of-32-characters'

/** Options of an API over an empty read model. */
const NOTHING = `token: '${TOKEN}', read: { dialers: async () => [], ping: async () => {}, changes: async ({ after = '5-0' }) => (
  { items: [], cursor: after, more: false, reset: false }) }`

/** The API, bundled as for a deployment, behind a URL that streams. */
async function useUrl(own = '') {
  const taskRoot = await useFolder()
  await mkdir(join(taskRoot, 'dist'))
  const contents = `
    import { createApi } from './src/api/index.ts'
    import { handleUrl } from './src/lambda/handle-url.ts'
    const app = createApi({ ${NOTHING}, ${own} })
    app.get('/stream', (c) => {
      c.header('set-cookie', 'a=1', { append: true })
      c.header('set-cookie', 'b=2', { append: true })
      const bytes = new Uint8Array(64 * 1024).fill(0xff)
      let left = 40
      return c.body(new ReadableStream({ pull: (out) => (left-- > 0 ? out.enqueue(bytes) : out.close()) }), 203)
    })
    export const handler = handleUrl(app)`
  const stdin = { contents, resolveDir: ROOT, loader: 'ts' } as const
  const { sourcemap: _, ...options } = FUNCTION_BUNDLE
  await build({ ...options, stdin, outfile: join(taskRoot, 'dist/index.mjs') })
  const lambda = createLambdaFunction(
    { name: 'acme-api', handler: 'dist/index.handler', taskRoot, memoryMiB: 256, timeoutMs: 5_000, variables: {} },
    { aws: { AWS_REGION: 'eu-west-1' }, onLine: () => undefined },
  )
  onTestFinished(() => lambda.stop())
  const server = createFunctionUrl(lambda).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  /** By Node's own client: `fetch` sends no body with a GET. */
  return async (
    method: string,
    path: string,
    body = '',
    authorization = `Bearer ${TOKEN}`,
    headers: Readonly<Record<string, string>> = {},
  ) => {
    const asking = request({
      port,
      host: '127.0.0.1',
      method,
      path,
      headers: {
        ...(authorization === '' ? {} : { authorization }),
        'content-length': Buffer.byteLength(body),
        ...headers,
      },
    })
    asking.end(body)
    const [answer] = (await once(asking, 'response')) as [
      Readable & { statusCode: number; headers: NodeJS.Dict<string> },
    ]
    return { status: answer.statusCode, headers: answer.headers, text: await text(answer) }
  }
}

test('behind a URL that streams, a GET with a body is answered with a problem and its status, after the token is checked', async () => {
  const ask = await useUrl()
  const bad = await ask('GET', '/dialers', 'a body')
  expect([bad.status, bad.headers['content-type']]).toEqual([400, 'application/problem+json'])
  expect(JSON.parse(bad.text)).toMatchObject({ type: 'urn:enigma-relay:problem:bad-request' })
  expect((await ask('GET', '/dialers', 'a body', 'Bearer none')).status).toBe(401)
  expect(await ask('GET', '/dialers')).toMatchObject({ status: 200, text: '{"items":[]}' })
  expect(await ask('HEAD', '/dialers')).toMatchObject({ status: 200, text: '' })
  expect(await ask('POST', '/dialers', 'ü')).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } })
  const streamed = await ask('GET', '/stream')
  expect([streamed.status, streamed.headers['set-cookie'], streamed.text.length]).toEqual([
    203,
    ['a=1', 'b=2'],
    40 * 64 * 1024,
  ])
})

test('a function that only streams answers a CORS preflight, ends each stream after its time limit, and serves no other path', async () => {
  const ask = await useUrl("only: 'events', corsOrigin: '*', events: { limitMs: 300, pollMs: 10 }")
  const page = { origin: 'https://console.example.com', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors' }
  // A browser sends the preflight first, without a token.
  const preflight = await ask('OPTIONS', '/events?type=agents', '', '', {
    ...page,
    'access-control-request-method': 'GET',
    'access-control-request-headers': 'authorization,last-event-id',
  })
  expect(preflight).toMatchObject({ status: 204, text: '', headers: { 'access-control-allow-origin': '*' } })
  expect(preflight.headers['access-control-allow-headers']?.toLowerCase().split(',')).toEqual(
    expect.arrayContaining(['authorization', 'last-event-id']),
  )
  expect(preflight.headers['access-control-allow-methods']).toContain('GET')
  const begunMs = Date.now()
  const stream = await ask('GET', '/events?type=agents', '', undefined, { ...page, 'last-event-id': '7-0' })
  expect(stream).toMatchObject({ status: 200, headers: { 'access-control-allow-origin': '*' } })
  expect(stream.text).toContain('id: 7-0')
  expect(Date.now() - begunMs).toBeGreaterThan(250)
  expect(await ask('GET', '/events', '', 'Bearer none', page)).toMatchObject({
    status: 401,
    headers: { 'access-control-allow-origin': '*' },
  })
  for (const path of ['/', '/config', '/dialers', '/stream']) expect((await ask('GET', path)).status).toBe(404)
})

test('if the runtime does not stream, bytes that are not text are sent as base64, and an error of the app becomes a problem', async () => {
  const event = (rawPath: string) => ({ rawPath, requestContext: { http: { method: 'GET' } } })
  const answers: Record<string, Response> = {
    '/text': new Response('\uFEFFü'),
    '/bytes': new Response(Uint8Array.of(0xff, 0x00)),
    '/none': new Response(null, { status: 204 }),
  }
  const handler = handleUrl({
    fetch: ({ url }) => {
      const answer = answers[new URL(url).pathname]
      if (answer === undefined) throw new Error('27821234567')
      return answer
    },
  })
  expect(await handler(event('/text'))).toMatchObject({ body: '\uFEFFü', isBase64Encoded: false })
  expect(await handler(event('/bytes'))).toMatchObject({ body: '/wA=', isBase64Encoded: true })
  expect(await handler(event('/none'))).toMatchObject({ statusCode: 204, body: '' })
  expect(await handler(event('/throws'))).toMatchObject({
    statusCode: 500,
    headers: { 'content-type': 'application/problem+json' },
    body: expect.not.stringContaining('2782') as string,
  })
})
