import { describe, expect, it, vi } from 'vitest'
import { createApi, type ConsoleOptions } from '../../src/api/index.ts'
import type { Reads } from '../../src/store/index.ts'
import { AUTH, TOKEN } from './api-world.ts'

const TABLE = {
  'index.html': { type: 'text/html; charset=utf-8', encodings: ['br', 'gzip'] },
  'main-ABCD1234.js': { type: 'text/javascript; charset=utf-8', encodings: ['gzip'] },
  'small-ABCD1234.css': { type: 'text/css; charset=utf-8', encodings: [] },
} as const

/** The API with a console of three files, each of which holds its own name and encoding. */
function useConsoleApi(own: Partial<ConsoleOptions> & { readonly corsOrigin?: string } = {}) {
  const { corsOrigin = '', ...options } = own
  const read = vi.fn<ConsoleOptions['read']>(async (name, encoding) =>
    new TextEncoder().encode(`${name} ${encoding ?? 'plain'}`),
  )
  const lines: object[] = []
  const app = createApi({
    read: {} as Reads,
    token: TOKEN,
    corsOrigin,
    log: (line) => void lines.push(line),
    console: { table: async () => TABLE, read, ...options },
  })
  const get = async (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    app.request(path, { method, headers })
  const login = async (body: string, headers: Record<string, string> = {}) =>
    app.request('/console/login', {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', ...headers },
    })
  return { app, read, lines, get, login }
}

describe('/console/', () => {
  it('needs no token, and / redirects to it', async () => {
    const { get } = useConsoleApi()
    for (const path of ['/', '/console']) {
      const response = await get(path)
      expect([path, response.status, response.headers.get('location')]).toEqual([path, 302, 'console/'])
      expect(new URL(response.headers.get('location') ?? '', `https://example${path}`).pathname).toBe('/console/')
    }
    const response = await get('/console/')
    expect([response.status, await response.text()]).toEqual([200, 'index.html plain'])
    expect((await get('/agents')).status).toBe(401)
  })

  it('sends its security headers, on errors as well', async () => {
    const { get } = useConsoleApi()
    for (const path of ['/console/', '/console/main-ABCD1234.js', '/console/none']) {
      const { headers } = await get(path)
      expect(headers.get('content-security-policy')).toBe(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      )
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('referrer-policy')).toBe('no-referrer')
      expect(headers.get('cross-origin-opener-policy')).toBe('same-origin')
      expect(headers.get('permissions-policy')).toContain('camera=()')
    }
  })

  it('lets the page connect to configured origins, and rejects a value that is not an origin', async () => {
    const { get } = useConsoleApi({ connect: ['https://events.example.com'] })
    expect((await get('/console/')).headers.get('content-security-policy')).toContain(
      "; connect-src 'self' https://events.example.com; ",
    )
    for (const wrong of ["https://a.example; script-src 'unsafe-inline'", 'https://a.example/', '*'])
      expect(() => useConsoleApi({ connect: [wrong] })).toThrow(
        expect.objectContaining({ code: 'functions.console.bad_origin' }) as Error,
      )
  })

  it.each([
    ['/console/', 'gzip, deflate, br, zstd', 'br'],
    ['/console/', 'gzip;q=1.0, br;q=0', 'gzip'],
    ['/console/', 'GZIP', 'gzip'],
    ['/console/', '*', 'br'],
    ['/console/', 'identity', null],
    ['/console/', '', null],
    ['/console/main-ABCD1234.js', 'gzip, br', 'gzip'],
    ['/console/main-ABCD1234.js', 'br', null],
    ['/console/small-ABCD1234.css', 'gzip, br', null],
  ])('%s for accept-encoding "%s" has the content-encoding %s', async (path, accepted, encoding) => {
    const { get } = useConsoleApi()
    const response = await get(path, { 'accept-encoding': accepted })
    expect(response.headers.get('content-encoding')).toBe(encoding)
    expect(response.headers.get('vary')).toBe('accept-encoding')
    expect(await response.text()).toContain(` ${encoding ?? 'plain'}`)
  })

  it('makes clients revalidate the page, with a 304, and cache files with a hash for a year', async () => {
    const { get } = useConsoleApi()
    const page = await get('/console/')
    expect(page.headers.get('cache-control')).toBe('no-cache')
    const etag = page.headers.get('etag') ?? ''
    const again = await get('/console/', { 'if-none-match': etag })
    expect([again.status, await again.text(), again.headers.get('etag')]).toEqual([304, '', etag])
    expect(again.headers.get('cache-control')).toBe('no-cache')
    // Another encoding has another ETag.
    expect((await get('/console/', { 'if-none-match': etag, 'accept-encoding': 'br' })).status).toBe(200)
    const script = await get('/console/main-ABCD1234.js')
    expect(script.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    expect(script.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
  })

  it('answers HEAD without a body, and other methods with 405', async () => {
    const { get } = useConsoleApi()
    const head = await get('/console/', {}, 'HEAD')
    expect([head.status, await head.text(), head.headers.get('content-type')]).toEqual([
      200,
      '',
      'text/html; charset=utf-8',
    ])
    expect((await get('/console', {}, 'HEAD')).status).toBe(302)
    for (const path of ['/console', '/console/', '/console/main-ABCD1234.js'])
      for (const method of ['POST', 'PUT', 'DELETE']) {
        const { status, headers } = await get(path, {}, method)
        expect([path, status, headers.get('allow'), headers.get('content-type')]).toEqual([
          path,
          405,
          'GET, HEAD',
          'application/problem+json',
        ])
      }
    const faulty = await get('/console/', { 'content-length': '3' })
    expect(faulty.status).toBe(400)
  })

  it('reads only files in its table', async () => {
    const { get, read } = useConsoleApi()
    for (const name of [
      'none.js',
      'files.json',
      'index.html.br',
      '..%2F..%2Fetc%2Fpasswd',
      '%2e%2e%2findex.mjs',
      '..',
      '../index.mjs',
      '%00',
      '__proto__',
      'constructor',
      'a/index.html',
      'index.html/',
      'INDEX.HTML',
      'login',
    ]) {
      const { status, headers } = await get(`/console/${name}`)
      // The URL parser resolves `..`, which leaves a path of the API.
      const outside = ['..', '../index.mjs'].includes(name)
      expect([name, status]).toEqual([name, name === '..' ? 302 : outside ? 401 : 404])
      if (!outside) expect([name, headers.get('content-type')]).toEqual([name, 'application/problem+json'])
    }
    expect(read.mock.calls).toEqual([])
  })

  it('is a 404 without its files, and the answer names the build command', async () => {
    const { get } = useConsoleApi({ table: async () => ({}) })
    const response = await get('/console/')
    expect([response.status, await response.json()]).toEqual([
      404,
      expect.objectContaining({ detail: expect.stringContaining('npm run build') as string }),
    ])
  })

  it('is not part of the API document', async () => {
    const { app } = useConsoleApi({ exchangeCode: () => undefined })
    const response = await app.request('/openapi.json', { headers: AUTH })
    const { paths } = (await response.json()) as { paths: object }
    expect(Object.keys(paths).filter((path) => path === '/' || path.includes('console'))).toEqual([])
  })

  it('answers 500 when a file cannot be read, and the log does not quote the cause', async () => {
    const { get, lines } = useConsoleApi({
      read: async () => {
        throw new Error('27821234567')
      },
    })
    expect((await get('/console/')).status).toBe(500)
    expect(lines).toMatchObject([{ code: 'functions.api.failed' }])
    expect(JSON.stringify(lines)).not.toContain('2782')
  })
})

describe('POST /console/login', () => {
  const CODE = 'c0de'
  const useLogin = (own: Parameters<typeof useConsoleApi>[0] = {}) => {
    const left = [CODE]
    const exchangeCode = vi.fn<(code: string) => string | undefined>((code) =>
      code === left.pop() ? TOKEN : undefined,
    )
    return { ...useConsoleApi({ exchangeCode, ...own }), exchangeCode }
  }
  const body = JSON.stringify({ code: CODE })

  it('exchanges a code for a token that is not cached, and rejects an invalid code', async () => {
    const { login, lines } = useLogin()
    const response = await login(body, { 'sec-fetch-site': 'same-origin' })
    expect([response.status, await response.json()]).toEqual([200, { token: TOKEN }])
    expect(response.headers.get('cache-control')).toBe('no-store')
    const again = await login(body)
    expect([again.status, again.headers.get('content-type')]).toEqual([401, 'application/problem+json'])
    expect(JSON.stringify([...again.headers, await again.text(), lines])).not.toMatch(/c0de|api-token/)
    expect(lines).toEqual([])
  })

  it('rejects pages of other origins without checking the code', async () => {
    const { login, exchangeCode } = useLogin()
    for (const site of ['cross-site', 'same-site']) {
      const headers = { 'sec-fetch-site': site, origin: 'https://evil.example' }
      expect((await login(body, headers)).status).toBe(403)
    }
    expect(exchangeCode.mock.calls).toEqual([])
  })

  it('rejects a body that has no code or is too large, and other methods', async () => {
    const { login, get, exchangeCode } = useLogin()
    for (const wrong of [
      '',
      '{',
      '[]',
      'null',
      '"c0de"',
      '{}',
      '{"code":1}',
      JSON.stringify({ code: 'x'.repeat(1_000) }),
    ]) {
      const response = await login(wrong)
      expect([wrong, response.status, response.headers.get('content-type')]).toEqual([
        wrong,
        400,
        'application/problem+json',
      ])
    }
    expect(exchangeCode.mock.calls).toEqual([])
    const { status, headers } = await get('/console/login')
    expect([status, headers.get('allow')]).toEqual([405, 'POST'])
  })

  it('is a 404 if no code can be exchanged', async () => {
    const { login, get } = useConsoleApi()
    expect((await login(body)).status).toBe(404)
    expect((await get('/console/login')).status).toBe(404)
  })
})
