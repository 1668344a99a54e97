import { Hono } from 'hono'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ReplayDetail, Wall } from '../../src/answers/index.ts'
import { bundleConsole } from '../../infra/build/bundle-console.ts'
import { serveApp, startRedisServer } from '../../src/local/servers.ts'
import { startUpstashProxy } from '../../src/local/upstash-proxy.ts'
import { formatEvent, type HttpOutcome, type Notification } from '../../src/protocol/index.ts'
import type { NextRound } from '../../src/store/index.ts'
import { cdr, notification } from '../adapter/factories.ts'
import { waitFor } from '../support/relay.ts'
import type { Deployment, Running } from './runtimes.ts'

const secret = () => `whsec_${randomBytes(32).toString('base64')}`
const [FORMER, SECRET] = [secret(), secret()]
const [READER, OPERATOR] = ['r'.repeat(40), 'o'.repeat(40)]

type Send = {
  readonly headers?: Readonly<Record<string, string>>
  readonly secret?: string
  readonly body?: string
  readonly signal?: AbortSignal
}

/** The suite that every runtime passes: the same functions, API and console, on the same read model. */
export function describeEdge(runtime: string, start: (deployment: Deployment) => Promise<Running>): void {
  describe(`the edge on ${runtime}`, () => {
    const releases: (() => Promise<unknown>)[] = []
    /** Runs for each request to the read model before the request is passed on. */
    let gate: () => Promise<void> | Response | void
    /** The number of requests that reached the gate. */
    let arrived = 0
    let url: string
    let index = 0

    beforeAll(async () => {
      const redis = await startRedisServer()
      releases.push(redis.stop)
      const proxy = await startUpstashProxy({ redisUrl: redis.url, token: 'store-token' })
      releases.push(proxy.stop)
      const front = new Hono().all('*', async (c) => {
        arrived++
        const refused = await gate()
        if (refused !== undefined) return refused
        const { pathname } = new URL(c.req.url)
        const { method, headers } = c.req.raw
        return fetch(proxy.url + pathname, { method, headers, body: await c.req.arrayBuffer() })
      })
      const door = await serveApp(front)
      releases.push(door.stop)
      const env = {
        UPSTASH_REDIS_REST_URL: door.url,
        UPSTASH_REDIS_REST_TOKEN: 'store-token',
        ENIGMA_TARGET_SECRET: `${FORMER}, ${SECRET}`,
        API_TOKENS: `reader:read:${READER}\njane:operate:${OPERATOR}`,
      }
      const running = await start({ env, page: await bundleConsole() })
      releases.push(running.stop)
      url = running.url
      open()
    }, 120_000)
    afterAll(async () => {
      for (const release of releases.toReversed()) await release()
    })

    const open = () => (gate = () => undefined)
    const send = async (notifications: readonly Notification[], own: Send = {}): Promise<Response> => {
      const body = own.body ?? `[${notifications.map(formatEvent).join(',')}]`
      const [id, at] = [`msg_${++index}`, new Date()]
      return fetch(`${url}/notifications`, {
        method: 'POST',
        headers: {
          'content-type': 'application/cloudevents-batch+json; charset=utf-8',
          'ce-attempt': '1',
          'webhook-id': id,
          'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
          'webhook-signature': new Webhook(own.secret ?? SECRET).sign(id, at, body),
          ...own.headers,
        },
        body,
        signal: own.signal ?? null,
      })
    }
    const deliver = async (...given: Parameters<typeof send>): Promise<readonly HttpOutcome[]> => {
      const response = await send(...given)
      expect([response.status, response.headers.get('content-type')]).toEqual([
        200,
        'application/vnd.enigma-relay.outcomes+json',
      ])
      return ((await response.json()) as { outcomes: HttpOutcome[] }).outcomes
    }
    const outcomesOf = async (...given: Parameters<typeof send>) =>
      (await deliver(...given)).map(({ outcome }) => outcome)
    const ask = async <Body>(path: string, { token = READER, body }: { token?: string; body?: object } = {}) => {
      const response = await fetch(url + path, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      return { status: response.status, headers: response.headers, body: (await response.json()) as Body }
    }

    const iso = (fromNowMs: number) => new Date(Date.now() + fromNowMs).toISOString()
    /** A notification that no other test uses. */
    const status = (agent: string, payload: object = { status: 'busy', campaign_ref: '7' }) =>
      notification(agent, ++index, { time: iso(0), payload: { ref: agent, ...payload } })
    const record = (callRef: string, payload: object = {}) =>
      cdr(callRef, ++index, {
        time: iso(0),
        payload: {
          ref: '7',
          call_ref: callRef,
          dialed_at: Math.floor(Date.now() / 1_000) - 60,
          end_reason: 'hungup',
          ...payload,
        },
      })

    test('a request whose sender hangs up blocks no other request', async () => {
      // The first CDRs of a process all wait for the secret of the database, which the first CDR reads.
      const held = Promise.withResolvers<void>()
      gate = () => held.promise
      const hangUp = new AbortController()
      const before = arrived
      const first = send([record('d1')], { signal: hangUp.signal }).catch(() => 'hung up')
      await waitFor(() => arrived > before, 'the first request to reach the read model')
      const second = outcomesOf([record('d2'), status('1006')])
      await sleep(200)
      hangUp.abort()
      expect(await first).toBe('hung up')
      held.resolve()
      open()
      expect(await second).toEqual(['done', 'done'])
      expect(await outcomesOf([record('d3')])).toEqual(['done'])
    })

    test('a batch reaches its functions, each event has an outcome, and the API shows what they recorded', async () => {
      const call = notification('1002', ++index, {
        type: 'enigma.agents.call',
        time: iso(0),
        data: '{"type":"call","payload":{"ref":"1002","call_ref":9007199254740993,"number":"27821234567"}}',
      })
      const unknown = notification('1002', ++index, { type: 'enigma.agents.mood' })
      const all = [status('1002'), call, record('c1', { extension: '1099' }), unknown]
      expect(await deliver(all)).toEqual(all.map(({ id }) => ({ id, outcome: 'done' })))
      expect((await ask('/agents/1002')).body).toMatchObject({
        states: [{ status: 'busy' }],
        call: { call_ref: '9007199254740993' },
      })
      expect((await ask('/cdrs?agent=1099')).body).toMatchObject({ items: [{ call_ref: 'c1' }] })
      expect((await ask('/other')).body).toMatchObject({ items: [{ type: 'agents/mood' }] })
    })

    test('notices of the relay are accepted, and an empty batch has no outcomes and changes nothing', async () => {
      const gap = notification('main', ++index, {
        type: 'enigma.relay.gap',
        time: iso(0),
        data: JSON.stringify({
          type: 'gap',
          payload: { source: 'main', relay: 'pbx-1', from: iso(-9_000), to: iso(0), cause: 'test', patterns: ['x'] },
        }),
      })
      expect(await outcomesOf([gap], { headers: { 'ce-route': 'relay-gap' } })).toEqual(['done'])
      expect((await ask('/gaps')).body).toMatchObject({ items: [{ source: 'main' }] })
      const cursorOf = async () => (await ask<{ cursor: string }>('/changes')).body.cursor
      const before = await cursorOf()
      expect(await deliver([], { body: '[]' })).toEqual([])
      expect(await cursorOf()).toBe(before)
    })

    test('an event that its function refuses is parked alone, and only once when the request is repeated', async () => {
      const bad = status('1003', { status: '' })
      const all = [status('1003'), bad, status('1003', { status: 'wrapup', campaign_ref: '7' })]
      const before = (await ask<{ functions: { total: number } }>('/parked')).body.functions.total
      expect(await outcomesOf(all)).toEqual(['done', 'parked', 'done'])
      const again = await outcomesOf(all, { headers: { 'ce-attempt': '2', 'ce-redelivery': 'true' } })
      expect(again).not.toContain('retry')
      const { items, functions } = (
        await ask<{ items: { reason: string; status: number }[]; functions: { total: number } }>('/parked')
      ).body
      expect([functions.total - before, items[0]]).toMatchObject([1, { route: 'agents-status', status: 422 }])
      expect((await ask('/agents/1003')).body).toMatchObject({ states: [{ status: 'wrapup' }] })
    })

    test('while the read model is away, every outcome is retry; afterwards, every outcome is done', async () => {
      gate = () => new Response('', { status: 503 })
      const all = [status('1004'), status('1005')]
      const outcomes = await deliver(all)
      expect(outcomes.map(({ outcome, after = 0 }) => [outcome, after > 0])).toEqual([
        ['retry', true],
        ['retry', true],
      ])
      open()
      expect(await outcomesOf(all, { headers: { 'ce-attempt': '2' } })).toEqual(['done', 'done'])
      expect((await ask('/agents/1005')).body).toMatchObject({ states: [{ status: 'busy' }] })
    })

    test('only requests that are signed with one of the secrets are accepted; others record nothing', async () => {
      const one = [status('1007')]
      expect((await send(one, { secret: secret() })).status).toBe(401)
      expect((await send(one, { headers: { 'webhook-signature': '' } })).status).toBe(401)
      const late = String(Math.floor(Date.now() / 1_000) - 600)
      expect((await send(one, { headers: { 'webhook-timestamp': late } })).status).toBe(401)
      expect((await ask('/agents/1007')).status).toBe(404)
      expect(await outcomesOf(one, { secret: FORMER })).toEqual(['done'])
      expect((await ask('/agents/1007')).status).toBe(200)
    })

    test('a body that is not a batch is rejected, and the error names the expected format', async () => {
      const response = await send([], { body: '{"no":"batch"}' })
      expect([response.status, response.headers.get('content-type')]).toEqual([400, 'application/problem+json'])
      expect(((await response.json()) as { detail: string }).detail).toContain('CloudEvents')
    })

    test('the API requires a token, and /wall can be read with and without gzip', async () => {
      await outcomesOf([status('1008')])
      expect((await fetch(`${url}/wall`)).status).toBe(401)
      for (const encoding of ['gzip', 'identity']) {
        const response = await fetch(`${url}/wall`, {
          headers: { authorization: `Bearer ${READER}`, 'accept-encoding': encoding },
        })
        const wall = (await response.json()) as Wall
        expect(wall.agents.map(({ ref }) => ref)).toContain('1008')
      }
      expect((await ask('/health')).body).toMatchObject({ status: 'ok' })
      expect((await ask('/openapi.json')).body).toMatchObject({ openapi: expect.any(String) as string })
      expect((await ask('/config')).body).toMatchObject({ events: '/events', replays: true, dead_letters: false })
    })

    test('a request to the dialler is confirmed by a notification that arrives in another request', async () => {
      const { cursor } = (await ask<{ cursor: string }>('/changes')).body
      const waiting = [1, 2].map(() =>
        ask(`/confirmations?resource=agents/1011&expect=available&timeout=20&after=${cursor}`),
      )
      await sleep(200)
      await outcomesOf([status('1011', { status: 'available', campaign_ref: '7' })])
      for (const { body } of await Promise.all(waiting))
        expect(body).toMatchObject({ outcome: 'confirmed', state: 'available' })
    })

    test('changes are streamed', async () => {
      const end = new AbortController()
      const response = await fetch(`${url}/events`, {
        headers: { authorization: `Bearer ${READER}` },
        signal: end.signal,
      })
      const reader = (response.body as ReadableStream<Uint8Array>).getReader()
      let text = ''
      const read = async (wanted: string) => {
        while (!text.includes(wanted)) {
          const { value, done } = await reader.read()
          if (done) throw new Error(`the stream ended before ${wanted}: ${text}`)
          text += new TextDecoder().decode(value)
        }
      }
      await read('event: changes')
      await outcomesOf([status('1009')])
      await read('"1009"')
      end.abort()
    })

    test('a relay drives a replay: an entry that fails again stays parked, and CDRs are handled', async () => {
      const bad = status('1010', { status: '' })
      expect(await outcomesOf([bad])).toEqual(['parked'])
      const { id } = (await ask<{ items: [{ id: string }] }>('/parked')).body.items[0]
      expect((await ask('/replays', { body: { ids: [id] } })).status).toBe(403)
      const again = async (body: object) => {
        const started = await ask<{ id: string }>('/replays', { token: OPERATOR, body })
        expect(started.status).toBe(202)
        const next = async (round?: object) =>
          (
            await ask<NextRound>('/replays/next', {
              token: OPERATOR,
              body: { relay: 'pbx-1', ...(round && { round }) },
            })
          ).body
        const { round } = await next()
        const settled: object[] = []
        for (const { entry, route, event } of round?.messages ?? []) {
          const headers = { 'ce-route': route, 'ce-replay': round?.job ?? '', 'ce-parked': entry }
          await deliver([], { headers, body: `[${event}]` })
          settled.push({ entry })
        }
        await next({ job: round?.job, round: round?.round, settled, done: true })
        return (await ask<ReplayDetail>(`/replays/${started.body.id}`)).body
      }
      expect(await again({ ids: [id] })).toMatchObject({ state: 'done', counts: { handled: 0, failed_again: 1 } })
      expect((await ask(`/parked/${id}`)).body).toMatchObject({ replays: 1 })
      expect(await outcomesOf([record('r1')])).toEqual(['done'])
      const detail = await again({ cdrs: {}, route: 'campaigns-cdr' })
      expect(detail).toMatchObject({ state: 'done', counts: { failed_again: 0, waiting: 0 } })
      expect(detail.counts.handled).toBeGreaterThan(0)
    })

    test('the console is served, with the headers that it needs', async () => {
      expect((await fetch(`${url}/`, { redirect: 'manual' })).headers.get('location')).toContain('console/')
      const page = await fetch(`${url}/console/`)
      expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
      expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
      const [, script = ''] = /src="([^"]+)"/.exec(await page.text()) ?? []
      const file = await fetch(`${url}/console/${script}`, { headers: { 'accept-encoding': 'br, gzip' } })
      expect([file.status, (await file.text()).length > 10_000]).toEqual([200, true])
      expect((await fetch(`${url}/console/nothing.js`)).status).toBe(404)
    })
  })
}
