import { serve } from '@hono/node-server'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import * as agentsCall from '../../functions/agents/call.ts'
import * as agentsStatus from '../../functions/agents/status.ts'
import * as campaignsCdr from '../../functions/campaigns/cdr.ts'
import * as other from '../../functions/other.ts'
import { fromHttp, type App } from '../../src/adapter/index.ts'
import { createApi, relayFunctions } from '../../src/api/index.ts'
import { createClient } from '../../src/client/index.ts'
import { formatPacket } from '../../src/protocol/index.ts'
import { checkEffect } from '../../src/store/index.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useRelay, waitFor } from '../support/relay.ts'
import { useStore } from '../support/store.ts'

const OPERATOR = 'o'.repeat(40)
const LIST = 'enigma:notifications:campaigns'

type Fetch = (request: Request) => Response | Promise<Response>

async function listen(fetch: Fetch): Promise<string> {
  const server = serve({ fetch, hostname: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** The street without AWS: a relay that signs, the functions of this repository behind HTTP, the read model, the API. */
async function useHttpStreet() {
  const dialler = await useRedisServer()
  const client = await useRedisClient(dialler.url)
  const { store } = await useStore()
  const secret = `whsec_${randomBytes(32).toString('base64')}`
  const state = { isBroken: false }
  const brittle: App = {
    fetch: (request, env) =>
      state.isBroken ? new Response('the CRM is away', { status: 422 }) : campaignsCdr.app.fetch(request, env),
  }
  const functions = [...relayFunctions, agentsCall, agentsStatus, { route: campaignsCdr.route, app: brittle }, other]
  const { commit, recall, read } = store
  const url = await listen(fromHttp(functions, { verify: { webhook: secret }, commit, recall, check: checkEffect }))
  const api = createApi({ read, tokens: `jane:operate:${OPERATOR}`, replay: { commit } })
  const apiUrl = await listen((request) => api.fetch(request))
  const relay = await useRelay({
    redisUrl: dialler.url,
    endpoint: '',
    lists: [LIST],
    env: {
      ENIGMA_TARGET: url,
      ENIGMA_TARGET_SECRET: secret,
      ENIGMA_API_URL: apiUrl,
      ENIGMA_API_TOKEN: OPERATOR,
      AWS_REGION: '',
      AWS_ENDPOINT_URL_SQS: '',
    },
  })
  return { client, relay, state, api: createClient({ url: apiUrl, token: OPERATOR }) }
}

test(
  'without AWS, packets reach the API over signed HTTP; CDRs that fail are parked, and the relay replays them',
  { timeout: 90_000 },
  async () => {
    const { client, relay, state, api } = await useHttpStreet()
    const publish = (key: string, type: string, payload: object) =>
      client.publish(`enigma:notifications:${key}`, formatPacket({ type, payload }))
    const cdrOf = (call: number) =>
      formatPacket({
        type: 'cdr',
        payload: {
          call_ref: call,
          dialed_at: Math.floor(Date.now() / 1000),
          end_reason: 'hungup',
          extension: 1002,
          ref: 7,
        },
      })

    for (const status of ['logging_in', 'available'])
      await publish('agents:1002', 'status', { ref: 1002, campaign_ref: 7, status })
    await publish('agents:1002', 'call', { ref: 1002, call_ref: 900, number: '27821234567', contact_ref: 'C1' })
    await publish('agents:1002', 'status', { ref: 1002, campaign_ref: 7, status: 'busy' })
    await publish('agents:1002', 'coffee', { ref: 1002 })
    await waitFor(async () => {
      const agent = await api.agent('1002').catch(() => undefined)
      return agent?.states[0]?.status === 'busy' && agent.call?.call_ref === '900'
    }, 'the agent to be busy with the call')
    await waitFor(async () => (await api.other()).items.length === 1, 'the unknown packet at the route other')

    state.isBroken = true
    for (const call of [900, 901, 902]) await client.lPush(LIST, cdrOf(call))
    await waitFor(async () => (await api.parked()).items.length === 3, 'the CDRs to be parked')
    expect((await api.parked()).items.map(({ reason, attempts }) => [reason, attempts])).toEqual(
      Array.from({ length: 3 }, () => ['422: the CRM is away', 1]),
    )
    expect(await client.lLen(LIST)).toBe(0)

    state.isBroken = false
    const job = await api.startReplay({ filter: {} })
    await waitFor(async () => (await api.replayDetail(job.id)).state === 'done', 'the replay to end', 40_000)
    expect((await api.replayDetail(job.id)).counts).toMatchObject({ handled: 3, failed_again: 0 })
    expect((await api.cdrs({ agent: '1002' })).items.length).toBe(3)
    expect((await api.parked()).items).toEqual([])
    expect(relay.lines.filter((line) => JSON.parse(line).level >= 50)).toEqual([])
  },
)
