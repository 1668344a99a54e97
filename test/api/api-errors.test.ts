import { campaignStatus } from 'enigma-relay/store'
import { describe, expect, it } from 'vitest'
import { createApi } from '../../src/api/index.ts'
import { useRedisClient } from '../support/redis.ts'
import { AUTH, notice, TOKEN, useApi } from './api-world.ts'

type Answer = { type: string; title: string; status: number; detail: string; parameter?: string; known?: string[] }

const PROBLEM = 'application/problem+json'

/** Returns the problem in a response, with the code at the end of its type. */
async function problemOf(response: Response) {
  expect(response.headers.get('content-type')).toBe(PROBLEM)
  expect(response.headers.get('cache-control')).toBe('no-store')
  const answer = (await response.json()) as Answer
  expect(answer.status).toBe(response.status)
  return { ...answer, code: answer.type.replace('urn:enigma-relay:problem:', '') }
}

describe('parameters', () => {
  it.each([
    ['/agents?limit=0', 'limit', 'at least 1'],
    ['/agents?limit=501', 'limit', 'at most 500'],
    ['/campaigns?limit=ten', 'limit', 'whole number'],
    ['/other?limit=1.5', 'limit', 'whole number'],
    ['/cdrs?limit=', 'limit', 'at least 1'],
    ['/cdrs?limit=1&limit=2', 'limit', 'given twice'],
    ['/cdrs?campaign=7&campaign=8', 'campaign', 'given twice'],
    ['/cdrs?number=', 'number', 'must not be empty'],
    [`/cdrs?contact=${'9'.repeat(257)}`, 'contact', 'too long'],
    ['/cdrs?from=yesterday', 'from', '2026-01-31T08:00:00Z'],
    ['/cdrs?to=2026-02-30', 'to', 'not a valid date'],
    ['/cdrs?from=2026-01-31T08:00:00', 'from', 'zone'],
    ['/cdrs?from=200&to=100', 'from', 'later than to'],
  ])('%s is refused, with a problem that names %s', async (path, parameter, words) => {
    const { get } = await useApi()
    const problem = await problemOf(await get(path))
    expect(problem).toMatchObject({ code: 'bad-parameter', status: 400, parameter })
    expect(problem.detail).toContain(words)
  })

  it.each(['/agents', '/campaigns', '/cdrs', '/other', '/gaps', '/parked'])(
    '%s rejects a cursor that it did not issue',
    async (path) => {
      const { get } = await useApi()
      for (const cursor of [
        'nonsense',
        '%00',
        encodeURIComponent('{"a":1}'),
        'W10',
        'bnVsbA',
        'eyJhIjoxfQ',
        'WyJhYmMiLCJ4Il0',
        'WzFlNDAwLCJ4Il0',
        '-1',
        '1e400',
      ]) {
        const problem = await problemOf(await get(`${path}?cursor=${cursor}`))
        expect(problem, cursor).toMatchObject({ code: 'bad-parameter', status: 400, parameter: 'cursor' })
      }
    },
  )

  it('an unknown parameter is refused with the names of the known ones', async () => {
    const { get } = await useApi()
    const problem = await problemOf(await get('/cdrs?campain=7'))
    const known = ['from', 'to', 'campaign', 'agent', 'contact', 'number', 'end_reason', 'cursor', 'limit']
    expect(problem).toMatchObject({ code: 'unknown-parameter', status: 400, parameter: 'campain', known })
    for (const name of known) expect(problem.detail).toContain(name)
  })

  it.each(['/agents/1002?limit=1', '/campaigns/7?x', '/cdrs/abc?from=1', '/dialers?limit=1', '/openapi.json?x=1'])(
    '%s takes no parameters',
    async (path) => {
      const { get } = await useApi()
      expect(await problemOf(await get(path))).toMatchObject({ code: 'unknown-parameter', known: [] })
    },
  )
})

describe('unknown resources and methods', () => {
  it.each([
    ['/agents/9', 'ref'],
    ['/campaigns/9', 'ref'],
    ['/cdrs/bm9uZQ', 'id'],
    ['/cdrs/not%20an%20id', 'id'],
  ])('%s is 404 and names %s', async (path, parameter) => {
    const { get } = await useApi()
    expect(await problemOf(await get(path))).toMatchObject({ code: 'not-found', status: 404, parameter })
  })

  it('an unknown path is 404 and points to /openapi.json', async () => {
    const { get } = await useApi()
    expect((await problemOf(await get('/nothing'))).detail).toContain('/openapi.json')
  })

  it('DELETE is 405 with Allow', async () => {
    const { app } = await useApi()
    const response = await app.request('/cdrs', { method: 'DELETE', headers: AUTH })
    expect(response.headers.get('allow')).toBe('GET, HEAD')
    expect(await problemOf(response)).toMatchObject({ code: 'method-not-allowed' })
  })
})

describe('the token', () => {
  it.each([
    '/agents',
    '/agents/1',
    '/campaigns',
    '/campaigns/1',
    '/cdrs',
    '/cdrs/1',
    '/dialers',
    '/other',
    '/openapi.json',
    '/nothing',
  ])('%s requires a valid token', async (path) => {
    const { app } = await useApi()
    for (const headers of [
      {},
      { authorization: 'Bearer wrong' },
      { authorization: `Basic ${TOKEN}` },
      { authorization: `Bearer ${TOKEN}x` },
    ]) {
      const response = await app.request(path, { headers })
      expect(response.headers.get('www-authenticate')).toContain('Bearer')
      expect(await problemOf(response)).toMatchObject({ code: 'unauthorized', status: 401 })
    }
  })

  it.each(['', ' ', 'two words', 'ümlaut'])('the API does not start with the token "%s"', async (token) => {
    const { store } = await useApi()
    expect(() => createApi({ read: store.read, token })).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^functions\.tokens\./) as string }) as Error,
    )
  })
})

describe('a read model that does not answer', () => {
  it.each(['/health', '/agents', '/cdrs?number=15550100999', '/campaigns/7'])(
    '%s is 503 with Retry-After, and reveals no address and no secret',
    async (path) => {
      const { get, proxy, lines } = await useApi({ store: { tries: 1 } })
      await proxy.stop()
      const response = await get(path)
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
      const problem = await problemOf(response)
      expect(problem).toMatchObject({ code: 'unavailable', status: 503 })
      expect(JSON.stringify(problem)).not.toMatch(/UPSTASH|127\.0\.0\.1/)
      for (const secret of ['store-token', TOKEN, '15550100999'])
        expect(JSON.stringify([problem, lines])).not.toContain(secret)
      expect(lines).toMatchObject([{ code: 'functions.api.unavailable', cause: 'store.upstash.unreachable' }])
    },
  )
})

describe('a record that cannot be read', () => {
  it('is 500, and neither the answer nor the log quotes it', async () => {
    const { get, redis, commit, lines } = await useApi()
    await commit(campaignStatus(notice({ status: 'started' }, { reference: '7' })))
    const client = await useRedisClient(redis.url)
    await client.append('enigma:campaign_history:7', '\u001e1\u001fid\u001f{"number":"+15550100", Mrs Miller')
    const problem = await problemOf(await get('/campaigns/7'))
    expect(problem).toMatchObject({ code: 'internal', status: 500 })
    expect(lines).toMatchObject([{ code: 'functions.api.failed', error: 'SyntaxError', path: '/campaigns/:ref' }])
    expect(JSON.stringify([problem, lines])).not.toMatch(/Miller|5550100/)
  })
})
