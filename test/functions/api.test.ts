import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda'
import type { LambdaEvent } from 'hono/aws-lambda'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { agentStatus, type AgentDetail } from 'enigma-relay/store'
import { notice, TOKEN, useApi } from './api-world.ts'

/** The entry, loaded anew with these variables. */
async function loadEntry(env: Record<string, string | undefined>) {
  vi.resetModules()
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
  return import('../../functions/api.ts')
}

afterEach(() => vi.unstubAllEnvs())

/** What Lambda hands over for a request to a function URL. Source: the Lambda developer guide, Invoking function URLs. */
function functionUrlEvent(rawPath: string, rawQueryString: string, headers: Record<string, string>): LambdaEvent {
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
  it('answers requests to a function URL, by the variables of its environment', async () => {
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
      return (await handler(functionUrlEvent(path, query, headers))) as APIGatewayProxyStructuredResultV2
    }
    const found = await ask('/agents/a%20b')
    expect(found).toMatchObject({
      statusCode: 200,
      isBase64Encoded: false,
      headers: { 'access-control-allow-origin': 'https://console.example.com' },
    })
    expect((JSON.parse(found.body ?? '') as AgentDetail).states).toMatchObject([{ status: 'available' }])
    const refused = await ask('/agents', 'limit=0')
    expect(refused).toMatchObject({ statusCode: 400, isBase64Encoded: false })
    expect(JSON.parse(refused.body ?? '')).toMatchObject({ parameter: 'limit' })
  })

  it.each([undefined, '', '  '])('does not start when API_TOKEN is %j, and says what to do', async (token) => {
    const entry = loadEntry({
      API_TOKEN: token,
      UPSTASH_REDIS_REST_URL: 'http://127.0.0.1:9',
      UPSTASH_REDIS_REST_TOKEN: 'x',
    })
    await expect(entry).rejects.toThrow(/API_TOKEN is not set.*openssl rand/)
  })

  it('does not start without the address of the read model', async () => {
    await expect(
      loadEntry({ API_TOKEN: TOKEN, UPSTASH_REDIS_REST_URL: '', UPSTASH_REDIS_REST_TOKEN: '' }),
    ).rejects.toThrow('UPSTASH_REDIS_REST_URL')
  })
})
