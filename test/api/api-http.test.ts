import { agentStatus } from 'enigma-relay/store'
import { describe, expect, it, vi } from 'vitest'
import { createApi } from '../../src/api/index.ts'
import { AUTH, notice, TOKEN, useApi } from './api-world.ts'

describe('HEAD', () => {
  it('answers as GET does, without a body', async () => {
    const { app } = await useApi()
    const response = await app.request('/agents', { method: 'HEAD', headers: AUTH })
    expect([response.status, await response.text()]).toEqual([200, ''])
    expect(response.headers.get('etag')).not.toBeNull()
  })
})

describe('GET /wall', () => {
  it('is compressed for clients that accept gzip, and still answers 304', async () => {
    const { app } = await useApi()
    const headers = { ...AUTH, 'accept-encoding': 'gzip, br' }
    const response = await app.request('/wall', { headers })
    expect([response.status, response.headers.get('content-encoding')]).toEqual([200, 'gzip'])
    const text = await new Response(response.body?.pipeThrough(new DecompressionStream('gzip'))).text()
    const plain = await app.request('/wall', { headers: AUTH })
    expect([plain.headers.get('content-encoding'), await plain.text()]).toEqual([null, text])
    const etag = response.headers.get('etag') ?? ''
    const again = await app.request('/wall', { headers: { ...headers, 'if-none-match': etag } })
    expect([again.status, await again.text()]).toEqual([304, ''])
  })
})

describe('endpoints of your own', () => {
  it('require the same tokens, and their errors have the same format', async () => {
    const { app, get } = await useApi()
    app.get('/pops', (c) => c.json({ by: c.get('caller').name }))
    app.get('/broken', () => {
      throw new Error('of my own')
    })
    expect((await app.request('/pops')).status).toBe(401)
    const response = await get('/pops')
    expect([response.status, await response.json()]).toEqual([200, { by: 'api-token' }])
    expect(response.headers.get('cache-control')).toBe('private, no-cache')
    expect((await app.request('/pops', { method: 'POST', headers: AUTH })).status).toBe(405)
    const broken = await get('/broken')
    expect([broken.status, broken.headers.get('content-type')]).toEqual([500, 'application/problem+json'])
  })
})

describe('a body on a GET request', () => {
  it('is rejected after the token was checked', async () => {
    const { app } = await useApi()
    const headers = { 'content-length': '3' }
    expect((await app.request('/agents', { headers })).status).toBe(401)
    const response = await app.request('/agents', { headers: { ...AUTH, ...headers } })
    expect([response.status, response.headers.get('content-type')]).toEqual([400, 'application/problem+json'])
    expect((await app.request('/agents', { headers: { ...AUTH, 'content-length': '0' } })).status).toBe(200)
    expect((await app.request('/health', { headers })).status).toBe(200)
  })
})

describe('GET /health', () => {
  it('checks the read model once in five seconds, however many requests come, and answers 503 when it is away', async () => {
    const clock = { ms: 0 }
    const { app, store, proxy } = await useApi({ now: () => clock.ms, store: { tries: 1 } })
    const ping = vi.spyOn(store.read, 'ping')
    const statuses = async (count: number) =>
      new Set(
        (await Promise.all(Array.from({ length: count }, async () => app.request('/health')))).map(
          ({ status }) => status,
        ),
      )
    expect(await statuses(50)).toEqual(new Set([200]))
    clock.ms = 4_999
    expect(await statuses(50)).toEqual(new Set([200]))
    expect(ping).toHaveBeenCalledTimes(1)
    await proxy.stop()
    clock.ms = 5_000
    expect(await statuses(50)).toEqual(new Set([503]))
    expect(await statuses(50)).toEqual(new Set([503]))
    expect(ping).toHaveBeenCalledTimes(2)
  })
})

describe('ETag', () => {
  it('stays the same while nothing changes, and a matching request gets a 304 without a body', async () => {
    const { get, commit } = await useApi()
    await commit(agentStatus(notice({ status: 'available' }, { reference: '1002' })))
    for (const path of ['/agents', '/agents/1002', '/cdrs', '/campaigns', '/other', '/dialers', '/openapi.json']) {
      const first = await get(path)
      const etag = first.headers.get('etag') ?? ''
      expect(etag).toMatch(/^W\/".+"$/)
      expect(first.headers.get('cache-control')).toBe('private, no-cache')
      const second = await get(path, { 'if-none-match': `"other", ${etag}` })
      expect([path, second.status, await second.text()]).toEqual([path, 304, ''])
      expect(second.headers.get('etag')).toBe(etag)
    }
  })

  it('changes with the state', async () => {
    const { get, commit } = await useApi()
    await commit(agentStatus(notice({ status: 'available' }, { reference: '1002' })))
    const etag = (await get('/agents/1002')).headers.get('etag') ?? ''
    await commit(agentStatus(notice({ status: 'busy' }, { reference: '1002' })))
    const second = await get('/agents/1002', { 'if-none-match': etag })
    expect(second.status).toBe(200)
    expect(second.headers.get('etag')).not.toBe(etag)
  })

  it('is not set on errors', async () => {
    const { get } = await useApi()
    expect((await get('/agents/9')).headers.get('etag')).toBeNull()
  })
})

describe('CORS', () => {
  const ORIGINS = 'https://console.example.com, http://localhost:5173'
  const preflight = {
    method: 'OPTIONS',
    headers: { origin: 'http://localhost:5173', 'access-control-request-method': 'GET' },
  }

  it('a preflight of a listed origin passes without a token', async () => {
    const { app } = await useApi({ corsOrigin: ORIGINS })
    const response = await app.request('/agents', preflight)
    expect(response.status).toBe(204)
    expect(response.headers.get('access-control-allow-origin')).toBe('http://localhost:5173')
    expect(response.headers.get('access-control-allow-headers')?.toLowerCase()).toContain('authorization')
    expect(response.headers.get('access-control-allow-methods')).toBe('GET,HEAD,POST')
    // With *, any origin may read, but only a listed one may write.
    const open = await useApi({ corsOrigin: '*' })
    const asked = await open.app.request('/agents', preflight)
    expect(asked.headers.get('access-control-allow-origin')).toBe('*')
    expect(asked.headers.get('access-control-allow-methods')).toBe('GET,HEAD')
  })

  it('a listed origin may read answers, errors and 304s; another one may not', async () => {
    const { app, get } = await useApi({ corsOrigin: ORIGINS })
    const origin = 'https://console.example.com'
    const etag = (await get('/agents')).headers.get('etag') ?? ''
    const responses = [
      await get('/agents', { origin }),
      await get('/agents', { origin, 'if-none-match': etag }),
      await get('/agents?x=1', { origin }),
      await app.request('/agents', { headers: { origin } }),
      await app.request('/health', { headers: { origin } }),
    ]
    expect(
      responses.map(({ status, headers }) => [status, headers.get('access-control-allow-origin'), headers.get('vary')]),
    ).toEqual([200, 304, 400, 401, 200].map((status) => [status, origin, 'Origin']))
    expect(
      (await get('/agents', { origin: 'https://evil.example' })).headers.get('access-control-allow-origin'),
    ).toBeNull()
  })

  it('* lets every origin read', async () => {
    const { get } = await useApi({ corsOrigin: '*' })
    expect((await get('/agents', { origin: 'https://any.example' })).headers.get('access-control-allow-origin')).toBe(
      '*',
    )
  })

  it('no origin is allowed when none is named', async () => {
    const { get } = await useApi({ corsOrigin: '' })
    expect(
      (await get('/agents', { origin: 'https://any.example' })).headers.get('access-control-allow-origin'),
    ).toBeNull()
  })

  it.each(['console.example.com', 'https://a.example/', 'https://a.example/page', 'https://a.example,b'])(
    'the API does not start with the origin %s, which no browser sends',
    async (corsOrigin) => {
      const { store } = await useApi()
      expect(() => createApi({ read: store.read, token: TOKEN, corsOrigin })).toThrow(
        expect.objectContaining({ code: 'functions.cors.bad_origin' }) as Error,
      )
    },
  )
})
