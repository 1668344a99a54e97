import { build } from 'esbuild'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { expect, onTestFinished, test, vi } from 'vitest'
import { FUNCTION_BUNDLE } from '../../infra/build/bundle-functions.ts'
import { upstashEval } from '../../infra/build/upstash-eval.ts'
import { formatEvent, type Notification } from '../../src/protocol/index.ts'
import { useFolder } from '../support/relay.ts'

/** In a bundle the names of the fetch standard mean something else, and Upstash is asked in another way: what comes of it is the same. */
type FetchApp = typeof import('./fetch-app.ts')

async function useApps() {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => {
        if (request.url === '/never') return
        const body = Buffer.concat(chunks).toString()
        // Their order means nothing.
        const own = Object.entries(request.headers)
          .filter(([name]) => name.startsWith('ce-') || name === 'content-type')
          .toSorted(([a], [b]) => (a < b ? -1 : 1))
        response
          .writeHead(request.url === '/teapot' ? 418 : 200, { 'content-type': 'text/plain', 'x-up': 'stream' })
          .end(request.url === '/teapot' ? 'short and stout' : JSON.stringify({ method: request.method, own, body }))
      })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  vi.stubEnv('TEST_UPSTREAM', `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  onTestFinished(() => void vi.unstubAllEnvs())
  vi.stubGlobal('awslambda', {
    streamifyResponse: (handler: unknown) => handler,
    HttpResponseStream: { from: (stream: PassThrough, head: unknown) => Object.assign(stream, { head }) },
  })
  onTestFinished(() => void vi.unstubAllGlobals())
  const outfile = join(await useFolder(), 'app.mjs')
  await build({
    ...FUNCTION_BUNDLE,
    sourcemap: false,
    entryPoints: ['test/infra/fetch-app.ts'],
    outfile,
    plugins: [upstashEval()],
  })
  vi.resetModules()
  return { sources: await import('./fetch-app.ts'), bundle: (await import(pathToFileURL(outfile).href)) as FetchApp }
}

const notification = (subType: string, own: Partial<Notification> = {}): Notification => ({
  id: 'main/p/1/0',
  source: '/enigma/main',
  type: `enigma.agents.${subType}`,
  subject: '10 02',
  time: '2026-01-31T08:00:00.000Z',
  datacontenttype: 'application/json',
  data: `{"type":"${subType}","payload":{"ref":"é"}}`,
  transport: 'pubsub',
  channel: 'enigma:notifications:agents:1002',
  sequence: '1',
  ...own,
})

test('handlers behind SQS', async () => {
  const { sources, bundle } = await useApps()
  const types = [
    'empty',
    'proxied',
    'forwarded',
    'fetched',
    'global',
    'headers',
    'clone',
    'bytes',
    'signal',
    'kinds',
    'event',
    'stream',
    'missing',
    'thrown',
  ]
  const cases = [
    ...types.map((type) => notification(type)),
    // Bytes, an empty text, and what no header can carry: it is parked.
    notification('bytes', { data: new Uint8Array([0xff, 0]) }),
    notification('clone', { data: '' }),
    notification('empty', { datacontenttype: 'text/☎' }),
    notification('empty', { datacontenttype: 'a\nb: c' }),
    notification('event', { subject: '☎ ..%', datacontenttype: 'text/é' }),
  ]
  for (const one of cases) {
    const body = formatEvent(one)
    const expected = await sources.overSqs(one, body)
    expect(await bundle.overSqs(one, body), one.type).toEqual(expected)
  }
  const carried = (one: Notification) => bundle.overSqs(one, formatEvent(one))
  expect(await carried(notification('proxied'))).toMatchObject({
    parked: [{ status: 418, reason: '418: short and stout' }],
  })
  expect(await carried(notification('empty'))).toMatchObject({ answer: { batchItemFailures: [] }, parked: [] })
  expect(await carried(notification('empty', { datacontenttype: 'a\nb: c' }))).toMatchObject({
    parked: [{ reason: expect.stringContaining('TypeError') as string }],
  })
  expect(await carried(notification('signal'))).toMatchObject({
    answer: { batchItemFailures: [{ itemIdentifier: 'm' }] },
  })
})

test('pages behind a function URL, whole and streamed', async () => {
  const { sources, bundle } = await useApps()
  const httpEvent = (path: string) => ({
    version: '2.0',
    rawPath: path,
    rawQueryString: 'a=1&b=é',
    cookies: ['x=1', 'y=2'],
    headers: { host: 'example', 'x-name': 'é', Accept: '*/*' },
    requestContext: { domainName: 'example', http: { method: 'GET', path }, stage: '$default' },
    isBase64Encoded: false,
  })
  const whole = (app: FetchApp, path: string) => app.overHttp(httpEvent(path) as never)
  const streamed = async (app: FetchApp, path: string) => {
    const stream = new PassThrough()
    const body = text(stream)
    await (app.overStream() as unknown as (event: unknown, stream: PassThrough, context: unknown) => Promise<void>)(
      httpEvent(path),
      stream,
      {},
    )
    return { body: await body, head: (stream as { head?: unknown }).head }
  }
  for (const path of ['/page', '/proxy', '/binary', '/after', '/form', '/echo', '/nowhere']) {
    // When the upstream answered is not of interest.
    const plain = (value: unknown) => JSON.stringify(value).replace(/"date":"[^"]*"/, '')
    expect(plain(await whole(bundle, path)), path).toBe(plain(await whole(sources, path)))
    expect(plain(await streamed(bundle, path)), path).toBe(plain(await streamed(sources, path)))
  }
  expect(await streamed(bundle, '/page')).toMatchObject({
    body: '<p>é</p>',
    head: { statusCode: 200, cookies: ['a=1', 'b=2'] },
  })
})

test('the read model: what it answers, and each way to fail', async () => {
  const { sources, bundle } = await useApps()
  let answer: { status?: number; headers?: Record<string, string>; body?: string | Buffer; cut?: true; hang?: true } =
    {}
  const seen: unknown[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => {
        const {
          authorization,
          'content-type': type,
          'upstash-encoding': encoding,
          'upstash-sync-token': sync,
        } = request.headers
        seen.push({
          method: request.method,
          url: request.url,
          authorization,
          type,
          encoding,
          sync,
          body: Buffer.concat(chunks).toString(),
        })
        if (answer.hang === true) return
        if (answer.cut === true) return void request.socket.destroy()
        response.writeHead(answer.status ?? 200, { 'upstash-sync-token': 's1', ...answer.headers }).end(answer.body)
      })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const base64 = (plain: string) => Buffer.from(plain).toString('base64')
  const good = JSON.stringify({ result: [base64('é☎'), null, 7, [base64('x')]] })
  const cases: (typeof answer)[] = [
    { body: good },
    { body: gzipSync(good), headers: { 'content-encoding': 'gzip' } },
    { body: JSON.stringify({ error: 'ERR of the script' }) },
    { status: 400, body: JSON.stringify({ error: 'ERR max request size exceeded. Limit' }) },
    { status: 401, body: JSON.stringify({ error: 'WRONGPASS invalid' }) },
    { status: 429, body: JSON.stringify({ error: 'ERR max daily request limit exceeded' }) },
    { status: 500, body: '<html>' },
    { status: 200, body: '<html>' },
    { status: 200, body: '{}' },
    { cut: true },
    { hang: true },
  ]
  const outcome = async (app: FetchApp) => {
    seen.length = 0
    const client = app.upstash({ url, token: 'a-token', timeoutMs: answer.hang === true ? 200 : 10_000, tries: 2 })
    const run = () =>
      client
        .run('return 1', ['a', 'é'], '1')
        .catch((error: unknown) => error as Error)
        .then((reply) =>
          reply instanceof Error
            ? { name: reply.name, message: reply.message, code: (reply as { code?: string }).code }
            : { reply },
        )
    const [first, second] = [await run(), await run()]
    // One that is cut may have been on a kept connection, and is asked once more on a new one.
    return { first, second, seen: answer.cut === true ? seen.slice(0, 4) : [...seen] }
  }
  for (answer of cases) {
    const expected = await outcome(sources)
    expect(await outcome(bundle), JSON.stringify(answer)).toEqual(expected)
  }
  // `fetch` follows it.
  answer = { status: 308, headers: { location: 'https://example.com/' }, body: '' }
  expect((await outcome(bundle)).first).toMatchObject({ code: 'store.upstash.unexpected_reply' })
})
