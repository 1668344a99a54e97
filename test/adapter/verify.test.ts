import { Webhook } from 'standardwebhooks'
import { Hono } from 'hono'
import { describe, expect, it, test } from 'vitest'
import { event, fromHttp, record, type AdapterEnv, type FromHttpOptions, type Verify } from '../../src/adapter/index.ts'
import { toRequest } from '../../src/protocol/index.ts'
import { notification } from './factories.ts'
import { createWorld } from './world.ts'

const NOW_MS = Date.parse('2026-01-31T08:00:00Z')
const secret = (name: string) => `whsec_${Buffer.from(name.padEnd(32, '.')).toString('base64')}`
const SECRET = secret('first')

/** The app behind HTTP, and whether it was run at all. */
function useHttp(verify: Verify, own: Partial<FromHttpOptions<string>> = {}) {
  const world = createWorld<string>()
  const seen = { runs: 0, bodies: [] as (string | Uint8Array)[] }
  const app = new Hono<AdapterEnv<string>>().all('*', async (c) => {
    seen.runs++
    const { id, data } = await event(c)
    seen.bodies.push(data)
    record(c, id)
    return c.body(null, 204)
  })
  const fetch = fromHttp<string>(app, { ...world.options, now: () => NOW_MS, verify, ...own })
  return { ...world, seen, fetch }
}

type Changes = { id?: string; atMs?: number; headers?: Record<string, string>; body?: string }

/** A request as a sender that uses the official library signs it. */
async function signed(given = SECRET, { id = 'msg_1', atMs = NOW_MS, headers = {}, body }: Changes = {}) {
  const request = toRequest(notification('1002', 1))
  const text = await request.clone().text()
  const signature = new Webhook(given).sign(id, new Date(atMs), text)
  const all = { 'webhook-id': id, 'webhook-timestamp': String(Math.floor(atMs / 1000)), 'webhook-signature': signature }
  for (const [name, value] of Object.entries({ ...all, ...headers })) request.headers.set(name, value)
  return body === undefined ? request : new Request(request, { method: 'POST', body })
}

const problemOf = async (response: Response) => {
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  return [response.status, ((await response.json()) as { detail: string }).detail] as const
}

describe('a signature of Standard Webhooks', () => {
  it('lets a request pass that the official library signed, byte for byte', async () => {
    const { fetch, seen, commits } = useHttp({ webhook: SECRET })
    expect((await fetch(await signed())).status).toBe(204)
    expect(seen.bodies).toEqual([notification('1002', 1).data])
    expect(commits).toHaveLength(1)
  })

  it('is found among several, and is checked with several secrets while one is replaced', async () => {
    const { fetch } = useHttp({ webhook: [secret('new'), ` ${SECRET}\n`] })
    expect((await fetch(await signed())).status).toBe(204)
    expect((await fetch(await signed(secret('new')))).status).toBe(204)
    expect((await fetch(await signed(secret('other')))).status).toBe(401)
    const right = (await signed()).headers.get('webhook-signature') ?? ''
    for (const both of [`v1a,AAAA v2,x v1,AAAA ${right}`, `${right} v1,%%%`])
      expect((await fetch(await signed(SECRET, { headers: { 'webhook-signature': both } }))).status).toBe(204)
  })

  it.each<[string, Changes, string | undefined]>([
    ['another body', { body: '{"type":"status"}' }, undefined],
    ['one byte more', { body: `${notification('1002', 1).data as string} ` }, undefined],
    ['another id', { headers: { 'webhook-id': 'msg_2' } }, undefined],
    ['another time', { headers: { 'webhook-timestamp': String(NOW_MS / 1000 + 1) } }, undefined],
    ['a time that is too long ago', { atMs: NOW_MS - 301_000 }, undefined],
    ['a time that is too far ahead', { atMs: NOW_MS + 301_000 }, undefined],
    ['a time that is none', { headers: { 'webhook-timestamp': '1e9' } }, undefined],
    ['an empty signature', { headers: { 'webhook-signature': '' } }, undefined],
    ['a signature of another version', { headers: { 'webhook-signature': 'v1a,AAAA' } }, undefined],
    ['no base64', { headers: { 'webhook-signature': 'v1,%%%' } }, undefined],
    ['another secret', {}, secret('another')],
  ])('refuses %s with 401 before the app runs', async (_, how, by) => {
    const { fetch, seen, commits } = useHttp({ webhook: SECRET })
    const response = await fetch(await signed(by, how))
    expect((await problemOf(response))[0]).toBe(401)
    expect([seen.runs, commits]).toEqual([0, []])
  })

  it('accepts a time at the limit of five minutes, and another tolerance', async () => {
    const { fetch } = useHttp({ webhook: SECRET })
    for (const atMs of [NOW_MS - 300_000, NOW_MS + 300_000])
      expect((await fetch(await signed(SECRET, { atMs }))).status).toBe(204)
    const strict = useHttp({ webhook: SECRET, toleranceMs: 1_000 })
    expect((await strict.fetch(await signed(SECRET, { atMs: NOW_MS - 2_000 }))).status).toBe(401)
  })

  it('is not checked for an endless body, which is refused', async () => {
    const { fetch, seen } = useHttp({ webhook: SECRET, maxBodyBytes: 1024 })
    const endless = new ReadableStream({ pull: (out) => out.enqueue(new Uint8Array(600)) })
    const request = new Request('http://x/agents/status', {
      method: 'POST',
      body: endless,
      headers: (await signed()).headers,
      duplex: 'half',
    })
    expect((await problemOf(await fetch(request)))[0]).toBe(413)
    expect(seen.runs).toBe(0)
  })

  it('is checked for a request without a body, too', async () => {
    const { fetch, seen } = useHttp({ webhook: SECRET })
    const headers = {
      'webhook-id': 'm',
      'webhook-timestamp': String(NOW_MS / 1000),
      'webhook-signature': new Webhook(SECRET).sign('m', new Date(NOW_MS), ''),
    }
    expect((await fetch(new Request('http://x/', { headers }))).status).toBe(400)
    expect(seen.runs).toBe(1)
  })
})

describe('a bearer token', () => {
  const ask = (authorization?: string) => {
    const request = toRequest(notification('1002', 1))
    if (authorization !== undefined) request.headers.set('authorization', authorization)
    return request
  }

  it('lets a request pass if it is one of the configured tokens, and nothing else does', async () => {
    const { fetch, seen } = useHttp({ bearer: ['old', 'new'] })
    for (const given of ['Bearer old', 'bearer new']) expect((await fetch(ask(given))).status).toBe(204)
    for (const given of [undefined, '', 'Bearer', 'Bearer none', 'Basic old', 'old', 'Bearer old new', 'Bearer olds']) {
      const response = await fetch(ask(given))
      expect(response.headers.get('www-authenticate')).toContain('Bearer')
      expect([given, (await problemOf(response))[0]]).toEqual([given, 401])
    }
    expect(seen.runs).toBe(2)
  })

  it('is read for each request if it may change; without one, requests are refused and an error is logged', async () => {
    let tokens: string[] = ['first']
    const { fetch, lines, seen } = useHttp({ bearer: () => Promise.resolve(tokens) })
    expect((await fetch(ask('Bearer first'))).status).toBe(204)
    tokens = ['second']
    expect((await fetch(ask('Bearer first'))).status).toBe(401)
    expect((await fetch(ask('Bearer second'))).status).toBe(204)
    tokens = []
    expect((await fetch(ask('Bearer second'))).status).toBe(503)
    expect(lines).toMatchObject([{ level: 'error', code: 'adapter.verify.failed' }])
    expect(seen.runs).toBe(2)
  })
})

test.each<unknown>([
  undefined,
  null,
  true,
  {},
  { bearer: '' },
  { bearer: [] },
  { bearer: ['a', ' '] },
  { webhook: 'whsec_%' },
  { webhook: 'whsec_' },
])('an app is not put behind HTTP with verify %j', (verify) => {
  expect(() => useHttp(verify as Verify)).toThrow(expect.objectContaining({ code: 'adapter.verify.invalid' }) as Error)
})

test('verify: false accepts every request', async () => {
  expect((await useHttp(false).fetch(toRequest(notification('1002', 1)))).status).toBe(204)
})
