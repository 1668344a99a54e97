import { afterEach, describe, expect, it, vi } from 'vitest'
import { agentStatus, type AgentDetail } from 'enigma-relay/store'
import { notice, TOKEN, useApi } from './api-world.ts'

/** Loads the entry again with these variables. */
async function loadEntry(env: Record<string, string | undefined>) {
  vi.resetModules()
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
  return import('../../functions/api.ts')
}

afterEach(() => vi.unstubAllEnvs())

/** The event that Lambda passes for a request to a function URL. Source: the Lambda developer guide, Invoking function URLs. */
function functionUrlEvent(rawPath: string, rawQueryString: string, headers: Record<string, string>) {
  const http = { method: 'GET', path: rawPath, protocol: 'HTTP/1.1', sourceIp: '192.0.2.1', userAgent: 'test' }
  return {
    version: '2.0',
    routeKey: '$default',
    rawPath,
    rawQueryString,
    headers: { host: 'example.lambda-url.us-east-1.on.aws', ...headers },
    requestContext: {
      accountId: 'anonymous',
      apiId: 'example',
      authentication: null,
      authorizer: {},
      domainName: 'example.lambda-url.us-east-1.on.aws',
      domainPrefix: 'example',
      http,
      requestId: '1',
      routeKey: '$default',
      stage: '$default',
      time: '31/Jan/2026:08:00:00 +0000',
      timeEpoch: 1769846400000,
    },
    body: null,
    isBase64Encoded: false,
  }
}

describe('functions/api.ts', () => {
  it('answers requests to a function URL, configured by environment variables', async () => {
    const { proxy, commit } = await useApi()
    await commit(agentStatus(notice({ status: 'available' }, { reference: 'a b' })))
    const { handler } = await loadEntry({
      API_TOKEN: `${TOKEN}\n`,
      API_CORS_ORIGIN: 'https://console.example.com',
      UPSTASH_REDIS_REST_URL: proxy.url,
      UPSTASH_REDIS_REST_TOKEN: 'store-token',
    })
    const ask = async (path: string, query = '') => {
      const headers = { authorization: `Bearer ${TOKEN}`, origin: 'https://console.example.com' }
      return handler(functionUrlEvent(path, query, headers))
    }
    const found = await ask('/agents/a%20b')
    expect(found).toMatchObject({
      statusCode: 200,
      isBase64Encoded: false,
      headers: { 'access-control-allow-origin': 'https://console.example.com' },
    })
    expect((JSON.parse(found.body) as AgentDetail).states).toMatchObject([{ status: 'available' }])
    const refused = await ask('/agents', 'limit=0')
    expect(refused).toMatchObject({ statusCode: 400, isBase64Encoded: false })
    expect(JSON.parse(refused.body)).toMatchObject({ parameter: 'limit' })
  })

  it('answers an invalid event with a problem, after the usual checks', async () => {
    const { proxy } = await useApi()
    const { handler } = await loadEntry({
      API_TOKEN: TOKEN,
      UPSTASH_REDIS_REST_URL: proxy.url,
      UPSTASH_REDIS_REST_TOKEN: 'store-token',
    })
    const good = functionUrlEvent('/agents', '', { authorization: `Bearer ${TOKEN}` })
    const http = (method: unknown) => ({ ...good.requestContext, http: { ...good.requestContext.http, method } })
    const bad: Record<string, [event: unknown, status: number, code: string]> = {
      'a GET with a body': [{ ...good, body: 'a=1' }, 400, 'bad-request'],
      'a GET with a body in base64': [{ ...good, body: 'YQ==', isBase64Encoded: true }, 400, 'bad-request'],
      'a GET whose body is no base64': [{ ...good, body: 'a', isBase64Encoded: true }, 400, 'bad-request'],
      'a HEAD with a body': [{ ...good, requestContext: http('HEAD'), body: 'x' }, 400, 'bad-request'],
      'a POST whose body is no base64': [
        { ...good, requestContext: http('POST'), body: '%%%', isBase64Encoded: true },
        400,
        'bad-request',
      ],
      'a POST whose body is no text': [{ ...good, requestContext: http('POST'), body: {} }, 400, 'bad-request'],
      'a proper POST': [{ ...good, requestContext: http('POST'), body: '{}' }, 405, 'method-not-allowed'],
      TRACE: [{ ...good, requestContext: http('TRACE') }, 405, 'method-not-allowed'],
      'a method that is none': [{ ...good, requestContext: http('G\nT') }, 405, 'method-not-allowed'],
      'no method': [{ ...good, requestContext: http(undefined) }, 400, 'bad-request'],
      'no context': [{ ...good, requestContext: undefined }, 400, 'bad-request'],
      'no path': [{ ...good, rawPath: undefined }, 400, 'bad-request'],
      'a header with a line break': [{ ...good, headers: { ...good.headers, 'x-a': 'b\nc' } }, 400, 'bad-request'],
      'a header whose name is none': [{ ...good, headers: { ...good.headers, 'a b': 'c' } }, 400, 'bad-request'],
      'a header that is no text': [{ ...good, headers: { ...good.headers, 'x-a': 1 } }, 400, 'bad-request'],
      'a path that is another host': [{ ...good, rawPath: '@evil.example/agents' }, 404, 'not-found'],
      'a path with a hash': [{ ...good, rawPath: '/agents#/1' }, 404, 'not-found'],
    }
    for (const [name, [event, status, code]] of Object.entries(bad)) {
      const answer = await handler(event as never)
      expect([name, answer.statusCode, answer.headers['content-type']]).toEqual([
        name,
        status,
        'application/problem+json',
      ])
      if (!name.includes('HEAD')) {
        const type = `urn:enigma-relay:problem:${code}`
        expect([name, JSON.parse(answer.body)]).toEqual([name, expect.objectContaining({ type, status })])
      }
      // Without a token, the answer is always 401.
      const headers = { ...((event as typeof good).headers as object), authorization: undefined }
      expect([name, (await handler({ ...(event as object), headers } as never)).statusCode]).toEqual([name, 401])
    }
    for (const event of [{}, null, undefined, 'x', [], { Records: [] }, { headers: null }])
      expect([event, (await handler(event as never)).statusCode]).toEqual([event, 401])
    const odd = [
      { ...good, rawPath: 'agents' },
      { ...good, requestContext: { ...good.requestContext, domainName: 'not a host' } },
      { ...good, headers: { ...good.headers, 'x-a': 'ü', 'x-b': null }, body: '' },
      { ...good, cookies: ['a=1', 'b=2'], rawQueryString: 'limit=1#x' },
    ]
    expect(await Promise.all(odd.map(async (event) => (await handler(event as never)).statusCode))).toEqual([
      200, 200, 200, 400,
    ])
  })

  it.each([undefined, '', '  '])('does not start when API_TOKEN is %j, and says what to do', async (token) => {
    const entry = loadEntry({
      API_TOKEN: token,
      UPSTASH_REDIS_REST_URL: 'http://127.0.0.1:9',
      UPSTASH_REDIS_REST_TOKEN: 'x',
    })
    await expect(entry).rejects.toMatchObject({
      code: 'functions.tokens.missing',
      message: expect.stringContaining('openssl rand -hex 32') as string,
    })
  })

  it('does not start without the address of the read model', async () => {
    await expect(
      loadEntry({ API_TOKEN: TOKEN, UPSTASH_REDIS_REST_URL: '', UPSTASH_REDIS_REST_TOKEN: '' }),
    ).rejects.toMatchObject({
      code: 'store.address.missing',
      message: expect.stringContaining('UPSTASH_REDIS_REST_URL') as string,
    })
  })
})
