import { serve } from '@hono/node-server'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { Hono } from 'hono'
import { event, fromHttp, record, type AdapterEnv } from '../../src/adapter/index.ts'
import { createApi } from '../../src/api/index.ts'
import { createReplayPoller } from '../../src/relay/replays/replay-poller.ts'
import type { SendAgain } from '../../src/relay/replays/send-round.ts'
import { AgentStatus, Cdr, formatEvent, type HttpOutcome, type Notification } from '../../src/protocol/index.ts'
import { agentStatus, cdr, type Effect, type NextRound, type Replay, type ReplayDetail } from '../../src/store/index.ts'
import { captureLog } from './log.ts'
import { createSend } from './send-again.ts'
import { useStore } from './store.ts'

export const OPERATOR = 'o'.repeat(40)
export const PUSH = 'p'.repeat(40)

export type Run = {
  readonly id: string
  readonly reference: string
  readonly replay: string | undefined
  readonly attempt: number
}

type Fetch = (request: Request) => Response | Promise<Response>

async function listen(fetch: Fetch): Promise<string> {
  const server = serve({ fetch, hostname: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Starts a street without SQS: functions behind HTTP with faults that a test sets, the API, the read model, and relays that drive replays. */
export async function useReplaysByHttp() {
  const { store, proxy } = await useStore()
  const state: { answer: (run: Run) => number | Promise<number>; status: number | undefined } = {
    answer: () => 204,
    status: undefined,
  }
  const runs: Run[] = []
  const run = async (one: Run) => {
    runs.push(one)
    return state.answer(one)
  }
  const app = new Hono<AdapterEnv<Effect>>()
    .post('/agents/status/:ref?', async (c) => {
      const { id, reference = '', replay, attempt } = await event(c)
      const answer = await run({ id, reference, replay, attempt })
      if (answer !== 204) return c.text(`fails with ${answer}`, answer as 422)
      record(c, agentStatus(await event(c, AgentStatus)))
      return c.body(null, 204)
    })
    .post('/campaigns/cdr/:ref?', async (c) => {
      const one = await event(c, Cdr)
      const answer = await run({
        id: one.id,
        reference: one.payload.call_ref ?? '',
        replay: one.replay,
        attempt: one.attempt,
      })
      if (answer !== 204) return c.text(`fails with ${answer}`, answer as 422)
      record(c, cdr(one))
      return c.body(null, 204)
    })
  const handle = fromHttp<Effect>(app, { verify: { bearer: PUSH }, ...store, log: () => undefined })
  const url = await listen((request) =>
    state.status === undefined ? handle(request) : new Response('', { status: state.status }),
  )
  const api = createApi({ read: store.read, tokens: `jane:operate:${OPERATOR}`, replay: { commit: store.commit } })
  const apiUrl = await listen((request) => api.fetch(request))

  const ask = async <Answer = Replay>(method: string, path: string, body?: unknown) => {
    const response = await fetch(apiUrl + path, {
      method,
      headers: { authorization: `Bearer ${OPERATOR}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: response.status, body: (await response.json()) as Answer & { detail: string } }
  }
  /** Starts a relay that drives replays until it is killed. A killed relay stops at once, without a last report. */
  const startRelay = (
    relayId = 'pbx-1',
    send: SendAgain = createSend(url, PUSH),
    options: { reportMs?: number } = {},
  ) => {
    const end = new AbortController()
    const { log, coded } = captureLog()
    const poller = createReplayPoller({
      api: { url: apiUrl, token: OPERATOR },
      relayId,
      send,
      log,
      maxBackoffMs: 50,
      ...options,
    })
    const done = poller.run(end.signal)
    const kill = async () => {
      end.abort()
      await done
    }
    onTestFinished(kill)
    return { kill, coded }
  }
  return {
    store,
    proxy,
    state,
    runs,
    url,
    apiUrl,
    ask,
    startRelay,
    /** Sends notifications to the functions as a relay does. */
    deliver: async (notifications: readonly Notification[]): Promise<HttpOutcome[]> => {
      const response = await fetch(url, {
        method: 'POST',
        headers: { authorization: `Bearer ${PUSH}`, 'content-type': 'application/cloudevents-batch+json' },
        body: `[${notifications.map(formatEvent).join(',')}]`,
      })
      return ((await response.json()) as { outcomes: HttpOutcome[] }).outcomes
    },
    next: async (relay: string, round?: object) =>
      (await ask<NextRound>('POST', '/replays/next', { relay, ...(round === undefined ? {} : { round }) })).body,
    detail: async (id: string) => (await ask<ReplayDetail>('GET', `/replays/${id}`)).body,
    parked: async () => (await store.read.parked({ limit: 500 })).items.toReversed(),
  }
}
