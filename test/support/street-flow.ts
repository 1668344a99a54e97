import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from 'redis'
import { afterAll, expect, test } from 'vitest'
import { startStreet, type StreetOptions } from '../../src/local/street/street.ts'
import { formatPacket } from '../../src/protocol/index.ts'
import { createLog } from '../../src/runtime/index.ts'
import { waitFor } from './relay.ts'
import { NEEDY, SECRETS } from './routes.ts'

/**
 * Defines the tests of a whole street, from PUBLISH or LPUSH to the API. All tests share one street: functions that run from source are
 * modules of this process, and read their environment only once, as on Lambda.
 */
export async function testStreet(own: Partial<StreetOptions> = {}): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'enigma-street-'))
  const env = Object.assign(
    process.env,
    { ENIGMA_API: '127.0.0.1:0', ENIGMA_HTTP: '127.0.0.1:0' },
    own.bundles === true ? SECRETS : {},
  )
  const street = await startStreet({ env, folder, log: createLog('silent'), diallerPort: 0, ...own })
  const client = createClient({ url: street.diallerUrl as string, RESP: 2 })
  await client.connect()
  afterAll(async () => {
    client.destroy()
    await street.stop()
    await rm(folder, { recursive: true, force: true })
  })

  const headers = { authorization: `Bearer ${street.api.token}` }
  const get = async (path: string): Promise<unknown> => (await fetch(street.api.url + path, { headers })).json()
  const publish = (key: string, subType: string, payload: unknown) =>
    client.publish(`enigma:notifications:${key}`, formatPacket({ type: subType, payload }))
  const push = (key: string, subType: string, payload: unknown) =>
    client.lPush(`enigma:notifications:${key}`, formatPacket({ type: subType, payload }))

  const replay = async (body: object) => {
    const jsonHeaders = { ...headers, 'content-type': 'application/json' }
    const response = await fetch(`${street.api.url}/replays`, {
      method: 'POST',
      headers: jsonHeaders,
      body: JSON.stringify(body),
    })
    return (await response.json()) as { readonly id: string }
  }

  /** Waits until the API's answer contains `expected`. On failure, shows the last answer. */
  async function see(path: string, expected: unknown): Promise<void> {
    let last: unknown
    await waitFor(async () => {
      last = await get(path)
      return matches(last, expected)
    }, path).catch(() => undefined)
    expect(last).toMatchObject(expected as object)
  }

  /** Bundled functions that need the user's own variables or secrets are not tested here: the user's tests do that. */
  const isOurs = (name: string) => own.bundles !== true || !NEEDY.has(name)

  test('a notification of each sub_type reaches the API from PUBLISH or LPUSH', { timeout: 60_000 }, async () => {
    const now = Math.floor(Date.now() / 1000)

    await publish('agents:1002', 'status', { ref: 1002, status: 'busy', campaign_ref: 12 })
    await see('/agents/1002', { ref: '1002', states: [{ campaign_ref: '12', status: 'busy' }] })
    if (isOurs('agents-call')) {
      await publish('agent:1002', 'call', {
        ref: '1002',
        call_ref: 77,
        agent: '1002',
        contact_ref: 'k7',
        number: '27821234567',
      })
      await see('/agents/1002', { call: { call_ref: '77', contact_ref: 'k7', number: '27821234567', stale: false } })
    }
    await publish('agents:1002', 'stats', { calls: 5, talk_time: 60_000 })
    await see('/agents/1002', { stats: [{ values: { calls: 5, talk_time: 60_000 } }] })

    await publish('campaigns:12', 'status', { ref: '12', status: 'started' })
    await see('/campaigns/12', { status: 'started' })
    await publish('campaigns:12', 'stats', { ref: '12', total_calls: 9, callees_queued: 4 })
    await see('/campaigns/12', { stats: [{ values: { total_calls: 9, callees_queued: 4 } }] })
    await publish('campaigns:12', 'dial_preview', { ref: '12', callees: [{ number: '27830000001', contact_ref: 'a' }] })
    await see('/campaigns/12/preview', { callees: [{ number: '27830000001', contact_ref: 'a' }] })

    if (isOurs('campaigns-cdr')) {
      await push('campaigns', 'cdr', {
        call_ref: 77,
        dialed_at: now,
        extension: 1002,
        number: '27821234567',
        contact_ref: 'k7',
        end_reason: 'hungup',
        end_code: 16,
        ref: 12,
      })
      await see('/cdrs?campaign=12&agent=1002&number=27821234567', {
        items: [{ call_ref: '77', end_reason: 'hungup', campaign_ref: '12' }],
      })
      await see('/agents/1002', { call: null })
      await push('cdr', 'cdr', { call_ref: 'c2d', dialed_at: now, end_reason: 'busy', ref: 'click2dial' })
      await see('/cdrs?end_reason=busy', { items: [{ call_ref: 'c2d' }] })
    }
    await push('inbound', 'call', { ref: '801', call_ref: 'i1', number: '27829999999', call_dir: 'inbound' })
    await see('/agents/801', { call: { call_ref: 'i1', direction: 'inbound' } })

    await publish('dialers:d1', 'status', { ref: 'd1', status: 'started' })
    await see('/dialers', { items: [{ ref: 'd1', status: 'started' }] })
    await publish('agents:1002', 'mood', { odd: '😀' })
    await client.publish('enigma:notifications:agents:1002', 'not json at all')
    await see('/other', { counts: { 'agents/mood': 1, 'agents/unknown': 1 } })
    await publish('agents:1009', 'status', { campaign_ref: '12' })
    await see('/parked', {
      items: [{ from: 'functions', handler: 'agents/status', status: 422, subject: '1009' }],
      functions: { total: 1 },
    })
    const { id } = await replay({ filter: { route: 'agents-status' } })
    // The packet is still invalid, so it fails again.
    await see(`/replays/${id}`, { state: 'done', operator: 'dev', counts: { failed_again: 1, handled: 0 } })
    await see('/relays', { items: [{ sources: ['main'] }] })
    if (isOurs('campaigns-cdr')) {
      // A replay of CDRs sends notifications that were already handled.
      const { id: ofCdrs } = await replay({ cdrs: { campaign: '12' }, route: 'campaigns-cdr' })
      await see(`/replays/${ofCdrs}`, { state: 'done', counts: { handled: 1, failed_again: 0 } })
    }
  })

  test('the API lists a gap after the Pub/Sub connection is killed', { timeout: 60_000 }, async () => {
    await client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub'])
    await see('/gaps', { items: [{ source: 'main' }] })
  })

  test(
    'a preview of more than 3 MiB, integers above 2^53 and emoji reach the API unchanged',
    { timeout: 60_000 },
    async () => {
      const callees = Array.from({ length: 45_000 }, (_, index) => ({
        number: `2782${String(index).padStart(7, '0')}`,
        contact_ref: `k${index}`,
        note: 'x'.repeat(20),
      }))
      const packet = formatPacket({ type: 'dial_preview', payload: { ref: '13', callees } })
      expect(packet.length).toBeGreaterThan(3 * 1024 * 1024)
      await client.publish('enigma:notifications:campaigns:13', packet)
      await client.publish(
        'enigma:notifications:agents:9007199254740993',
        '{"type":"status","payload":{"status":"on 😀 break","campaign_ref":12345678901234567890}}',
      )
      await see('/agents/9007199254740993', {
        states: [{ campaign_ref: '12345678901234567890', status: 'on 😀 break' }],
      })
      await waitFor(
        async () =>
          ((await get('/campaigns/13/preview')) as { callees?: unknown[] }).callees?.length === callees.length,
        'the whole preview',
        20_000,
      )
      expect(((await get('/campaigns/13/preview')) as { callees: unknown[] }).callees).toEqual(callees)
    },
  )
}

function matches(actual: unknown, expected: unknown): boolean {
  try {
    expect(actual).toMatchObject(expected as object)
    return true
  } catch {
    return false
  }
}
