import { GetQueueUrlCommand } from '@aws-sdk/client-sqs'
import { request as httpRequest } from 'node:http'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { parseProxy, proxyFor, type HttpProxies } from '../../../src/relay/targets/http-proxy.ts'
import { readConfig } from '../../../src/relay/index.ts'
import { createSqs } from '../../../src/relay/targets/sqs/sqs-client.ts'
import { checkProxy } from '../../../src/relay/doctor/target-checks.ts'
import { useHttpProxy } from '../../support/http-proxy.ts'
import { captureLog } from '../../support/log.ts'
import { waitFor } from '../../support/relay.ts'
import { fastUplink, useSender } from '../../support/sender.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'
import { makeCertificates } from '../../support/tls.ts'

let folder: string
let certificates: Awaited<ReturnType<typeof makeCertificates>>
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'enigma-test-'))
  certificates = await makeCertificates(folder)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const proxies = (except: string): HttpProxies => ({
  https: parseProxy('http://secure:3128'),
  http: parseProxy('http://plain:3128'),
  except,
})

test.each([
  ['https://sqs.eu-west-1.amazonaws.com', '', 'http://secure:3128'],
  ['http://sqs.test', '', 'http://plain:3128'],
  ['https://sqs.test', '*', undefined],
  ['https://sqs.test', 'localhost, *', undefined],
  ['https://sqs.test', 'sqs.test', undefined],
  ['https://sqs.test.', 'SQS.Test', undefined],
  ['https://a.sqs.test', 'sqs.test', undefined],
  ['https://a.sqs.test', '.sqs.test', undefined],
  ['https://sqs.test', '.sqs.test', undefined],
  ['https://a.sqs.test', 'other *.sqs.test', undefined],
  ['https://mysqs.test', 'sqs.test', 'http://secure:3128'],
  ['https://sqs.test', 'sqs.test:443', undefined],
  ['http://sqs.test', 'sqs.test:80', undefined],
  ['https://sqs.test', 'sqs.test:8443', 'http://secure:3128'],
  ['https://sqs.test:8443', 'sqs.test:8443', undefined],
  ['https://127.0.0.1:4566', '127.0.0.1', undefined],
  ['https://10.1.2.3', '10.0.0.0/8', undefined],
  ['https://11.1.2.3', '10.0.0.0/8', 'http://secure:3128'],
  ['https://[::1]:4566', '::1', undefined],
  ['https://[::1]:4566', '[::1]', undefined],
  ['https://[::1]:4566', '[::1]:4566', undefined],
  ['https://[::1]:4566', '[::1]:4567', 'http://secure:3128'],
  ['https://[0:0:0:0:0:0:0:1]', '::1', undefined],
  ['https://[fd00::7]', 'fd00::/8', undefined],
  ['https://sqs.test', ',,  ,', 'http://secure:3128'],
] as const)('requests to %s with NO_PROXY "%s" go through %s', (origin, except, expected) => {
  expect(proxyFor(origin, proxies(except))?.url).toBe(expected)
})

test.each([
  ['proxy:3128', { url: 'http://proxy:3128', authorization: undefined }],
  ['http://u:p%40ss@proxy', { url: 'http://proxy', authorization: `Basic ${btoa('u:p@ss')}` }],
  ['http://u:100%@proxy', { url: 'http://proxy', authorization: `Basic ${btoa('u:100%')}` }],
  ['https://u@[::1]:3128/', { url: 'https://[::1]:3128', authorization: `Basic ${btoa('u:')}` }],
  ['socks5://proxy:1080', undefined],
  ['http://', undefined],
] as const)('the address of a proxy %s is read without losing its user, and shown without it', (text, expected) => {
  expect(parseProxy(text)).toEqual(expected)
})

test('lower-case variables take precedence, an empty variable counts as not set, and a fault does not quote a password', () => {
  const read = (env: Record<string, string>) => readConfig({ AWS_REGION: 'eu-west-1', ...env }).proxies
  expect(read({ HTTPS_PROXY: 'http://upper', https_proxy: 'http://lower', no_proxy: '', NO_PROXY: 'a' })).toEqual({
    https: { url: 'http://lower', authorization: undefined },
    http: undefined,
    except: 'a',
  })
  expect(read({ https_proxy: '', HTTPS_PROXY: 'upper' }).https?.url).toBe('http://upper')
  expect(() => read({ HTTPS_PROXY: 'ftp://u:secret@proxy' })).toThrow(
    expect.objectContaining({
      code: 'config.variables.invalid',
      message: expect.stringMatching(/HTTPS_PROXY(?!.*secret)/s) as string,
    }) as Error,
  )
})

/** The SQS of the tests behind TLS, by the name sqs.test, which only the proxy reaches. */
async function useTlsSqs() {
  const server = await useSqsFaults()
  const { caFile, certFile, keyFile } = certificates
  const front = createServer({ cert: await readFile(certFile), key: await readFile(keyFile) }, (request, response) => {
    const { method, url, headers } = request
    const onward = httpRequest({ host: '127.0.0.1', port: server.port, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  })
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    front.closeAllConnections()
    front.close()
  })
  const former = tls.getCACertificates('default')
  tls.setDefaultCACertificates([...former, await readFile(caFile, 'utf8')])
  onTestFinished(() => tls.setDefaultCACertificates(former))
  return { server, port: (front.address() as AddressInfo).port }
}

function useProxied(env: Record<string, string>, requestTimeoutMs = 5_000) {
  process.env['AWS_ACCESS_KEY_ID'] ??= 'test'
  process.env['AWS_SECRET_ACCESS_KEY'] ??= 'test'
  const { log, coded, lines } = captureLog()
  const sqs = createSqs(readConfig({ AWS_REGION: 'eu-west-1', ...env }), { requestTimeoutMs, log })
  onTestFinished(() => sqs.destroy())
  return { sqs, coded, lines }
}

test('notifications reach an SQS behind TLS through a tunnel of a proxy with a password, which is never logged', async () => {
  const [{ server, port }, proxy] = [await useTlsSqs(), await useHttpProxy()]
  proxy.state.authorization = `Basic ${btoa('relay:se:cret')}`
  proxy.state.hosts.set('dialler.test', port)
  const { sqs, coded, lines } = useProxied({
    AWS_ENDPOINT_URL_SQS: 'https://dialler.test',
    HTTPS_PROXY: `http://relay:se%3Acret@127.0.0.1:${proxy.port}`,
  })
  const { push, drained } = useSender(sqs)
  for (let n = 0; n < 50; n++) push(String(1_000 + n), n)
  await drained()
  expect(server.accepted.length).toBeGreaterThan(10)
  expect(new Set(proxy.seen)).toEqual(new Set(['CONNECT dialler.test:443']))
  expect(coded('relay.proxy.used')).toMatchObject([{ origin: 'https://dialler.test', proxy: proxy.url }])
  expect(lines.join('')).not.toMatch(/cret|cmVsYXk/)
})

test('without a proxy an SQS behind TLS is reached directly, even after it did not answer for a while; a certificate of another name is refused', async () => {
  const { server, port } = await useTlsSqs()
  const { push, drained } = useSender(
    useProxied({ AWS_ENDPOINT_URL_SQS: `https://127.0.0.1:${port}` }).sqs,
    {},
    fastUplink({ limitMs: 200 }),
  )
  let hangs = 3
  server.state.answer = () => (hangs-- > 0 ? 'hang' : 'accept')
  for (let n = 0; n < 50; n++) push(String(1_000 + n), n)
  await drained()
  expect(server.accepted.length).toBeGreaterThan(10)
  const other = useProxied({ AWS_ENDPOINT_URL_SQS: `https://localhost:${port}` }).sqs
  await expect(other.send(new GetQueueUrlCommand({ QueueName: 'enigma-other.fifo' }))).rejects.toMatchObject({
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
  })
})

test('requests to an SQS without TLS pass the full URL to the proxy; NO_PROXY bypasses the proxy', async () => {
  const [server, proxy] = [await useSqsFaults(), await useHttpProxy()]
  proxy.state.hosts.set('sqs.test', server.port)
  proxy.state.authorization = `Basic ${btoa('u:p')}`
  const env = { HTTP_PROXY: `http://u:p@127.0.0.1:${proxy.port}`, NO_PROXY: '127.0.0.1' }
  const through = useSender(useProxied({ ...env, AWS_ENDPOINT_URL_SQS: 'http://sqs.test' }).sqs)
  through.push('1000', 0)
  await through.drained()
  expect(new Set(proxy.seen)).toEqual(new Set(['POST http://sqs.test/']))
  const direct = useSender(useProxied({ ...env, AWS_ENDPOINT_URL_SQS: server.endpoint }).sqs)
  direct.push('1000', 1)
  await direct.drained()
  expect(server.accepted).toHaveLength(2)
  expect(proxy.seen.some((line) => line.includes('127.0.0.1'))).toBe(false)
})

test.each([
  ['asks for a user', { authorization: 'Basic other' }, '(407)'],
  ['forbids the host', { status: 403 }, '(403)'],
] as const)(
  'a proxy that %s is reported with its status; once it lets the relay through, sending continues',
  async (_what, state, words) => {
    const [{ server, port }, proxy] = [await useTlsSqs(), await useHttpProxy()]
    proxy.state.hosts.set('dialler.test', port)
    Object.assign(proxy.state, state)
    const { sqs } = useProxied({ AWS_ENDPOINT_URL_SQS: 'https://dialler.test', https_proxy: proxy.url })
    const { push, drained, coded } = useSender(sqs)
    push('1000', 0)
    await waitFor(() => coded('relay.proxy.refused').length > 0, 'it to be said')
    expect(coded('relay.proxy.refused')[0]?.msg).toContain(words)
    Object.assign(proxy.state, { authorization: undefined, status: undefined })
    await drained()
    expect(server.accepted).toHaveLength(1)
  },
)

test('a proxy that did not answer for a while delays no later request', async () => {
  const [{ server, port }, proxy] = [await useTlsSqs(), await useHttpProxy()]
  proxy.state.hosts.set('dialler.test', port)
  proxy.state.hang = true
  const { sqs } = useProxied({ AWS_ENDPOINT_URL_SQS: 'https://dialler.test', HTTPS_PROXY: proxy.url }, 300)
  const look = () => sqs.send(new GetQueueUrlCommand({ QueueName: 'enigma-other.fifo' }))
  await expect(look()).rejects.toMatchObject({ name: 'TimeoutError' })
  proxy.state.hang = false
  const { push, drained } = useSender(sqs)
  push('1000', 0)
  await drained()
  expect(server.accepted).toHaveLength(1)
})

test('doctor reports whether SQS is reached through the proxy, with the fix if it is not; it sends SQS nothing', async () => {
  const [{ server, port }, proxy] = [await useTlsSqs(), await useHttpProxy()]
  proxy.state.hosts.set('dialler.test', port)
  const look = async (env: Record<string, string>) =>
    checkProxy(readConfig({ AWS_REGION: 'eu-west-1', AWS_ENDPOINT_URL_SQS: 'https://dialler.test', ...env }))
  const HTTPS_PROXY = `http://u:secret@127.0.0.1:${proxy.port}`
  proxy.state.authorization = `Basic ${btoa('u:secret')}`
  expect(await look({})).toEqual([])
  expect(await look({ HTTPS_PROXY, NO_PROXY: '.test' })).toMatchObject([
    { state: 'ok', text: expect.not.stringContaining(proxy.url) as string },
  ])
  expect(await look({ HTTPS_PROXY })).toMatchObject([
    { state: 'ok', text: expect.stringContaining(proxy.url) as string },
  ])
  expect(await look({ HTTPS_PROXY: proxy.url })).toMatchObject([
    {
      code: 'doctor.proxy.unusable',
      text: expect.stringContaining('(407)') as string,
      fix: expect.stringContaining('HTTPS_PROXY') as string,
    },
  ])
  proxy.state.hosts.set('other.test', port)
  expect(await look({ HTTPS_PROXY, AWS_ENDPOINT_URL_SQS: 'https://other.test' })).toMatchObject([
    { code: 'doctor.proxy.unusable', fix: expect.stringContaining('NODE_EXTRA_CA_CERTS') as string },
  ])
  const china = { AWS_REGION: 'cn-north-1', AWS_ENDPOINT_URL_SQS: '' }
  expect(await look({ ...china, HTTPS_PROXY, NO_PROXY: 'sqs.cn-north-1.amazonaws.com.cn' })).toMatchObject([
    { state: 'ok', text: expect.not.stringContaining(proxy.url) as string },
  ])
  proxy.state.status = 403
  expect(await look({ HTTPS_PROXY })).toMatchObject([
    {
      code: 'doctor.proxy.unusable',
      text: expect.stringContaining('(403)') as string,
      fix: expect.stringContaining('NO_PROXY') as string,
    },
  ])
  const away = await look({ HTTPS_PROXY: 'http://u:secret@127.0.0.1:1' })
  expect(away).toMatchObject([
    { code: 'doctor.proxy.unusable', text: expect.stringContaining('ECONNREFUSED') as string },
  ])
  expect(JSON.stringify(away)).not.toContain('secret')
  expect(server.requests).toEqual([])
})
