import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from 'redis'
import { afterAll, expect, test } from 'vitest'
import { listMissing } from '../../src/api/index.ts'
import { startStreet } from '../../src/local/street/street.ts'
import { formatPacket, stateKeys } from '../../src/protocol/index.ts'
import { createLog } from '../../src/runtime/index.ts'
import { createStore } from '../../src/store/index.ts'
import { waitFor } from '../support/relay.ts'

/* Gaps, resyncs and missing CDRs on a whole street: from the dialler's Redis to the API's answers. */

const folder = await mkdtemp(join(tmpdir(), 'enigma-street-'))
const env = Object.assign(process.env, { ENIGMA_API: '127.0.0.1:0', ENIGMA_HTTP: '127.0.0.1:0' })
const street = await startStreet({ env, folder, log: createLog('silent'), diallerPort: 0 })
const dialler = createClient({ url: street.diallerUrl as string, RESP: 2 })
await dialler.connect()
afterAll(async () => {
  dialler.destroy()
  await street.stop()
  await rm(folder, { recursive: true, force: true })
})

const headers = { authorization: `Bearer ${street.api.token}` }
const get = async (path: string): Promise<unknown> => (await fetch(street.api.url + path, { headers })).json()
const publish = (key: string, subType: string, payload: object) =>
  dialler.publish(`enigma:notifications:${key}`, formatPacket({ type: subType, payload }))

/** Waits until the answer of the API matches. Fails with the last answer. */
async function see(path: string, expected: object): Promise<void> {
  let last: unknown
  const fits = async () => {
    last = await get(path)
    try {
      expect(last).toMatchObject(expected)
      return true
    } catch {
      return false
    }
  }
  await waitFor(fits, path).catch(() => undefined)
  expect(last).toMatchObject(expected)
}

const { campaigns, agentsOf } = stateKeys()
const status = (word: string, unsure: boolean) => ({ states: [{ campaign_ref: '12', status: word, unsure }] })

test(
  'a gap makes states unsure, a resync makes them sure again, and a newer notification wins over the resync',
  { timeout: 90_000 },
  async () => {
    const cut = () => dialler.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub'])
    for (const ref of ['1002', '1003'])
      await publish(`agents:${ref}`, 'status', { ref, status: 'available', campaign_ref: '12' })
    await publish('campaigns:12', 'status', { ref: '12', status: 'started' })
    await see('/agents/1003', status('available', false))
    await see('/campaigns/12', { status: 'started', unsure: false })
    // Without the dialler's hashes, the states stay unsure.
    await cut()
    await see('/agents/1002', status('available', true))
    await see('/campaigns/12', { status: 'started', unsure: true })
    await see('/wall', { totals: { unsure: 2 } })

    await dialler.hSet(campaigns, '12', 'stopping')
    await dialler.hSet(agentsOf('12'), { 1002: 'wrapup', 1003: 'available' })
    await cut()
    // Published once the relay is subscribed again, before or while it reads the hashes, which lack this state.
    await see('/gaps', { items: [{}, {}] })
    await publish('agents:1003', 'status', { ref: '1003', status: 'busy', campaign_ref: '12' })
    await see('/agents/1002', status('wrapup', false))
    await see('/agents/1003', status('busy', false))
    await see('/campaigns/12', { status: 'stopping', unsure: false })
    await see('/wall', { totals: { unsure: 0 } })
  },
)

test('a call without a CDR is listed, and leaves the list when its CDR arrives', { timeout: 60_000 }, async () => {
  await see('/relays', { items: [{ lists: expect.arrayContaining(['enigma:notifications:campaigns']) as string[] }] })
  const call = { ref: '1004', agent: '1004', call_ref: 77, contact_ref: 'k7', number: '27821234567' }
  await publish('agents:1004', 'call', call)
  await see('/agents/1004', { call: { call_ref: '77' } })
  await publish('agents:1004', 'status', { ref: '1004', status: 'wrapup', campaign_ref: '12' })
  await see('/agents/1004', { call: null })
  expect(await get('/missing')).toEqual({ items: [], next: null })
  // The schedule waits for minutes before it lists a call, so the test lists it directly.
  const store = createStore(street.readModel)
  expect(await listMissing(store, { waitMs: 0 })).toEqual({ found: 1, listed: 1 })
  await see('/missing?agent=1004', {
    items: [{ call_ref: '77', campaign_ref: '12', contact_ref: 'k7', source: 'main' }],
  })

  const dialed_at = Math.floor(Date.now() / 1_000)
  const record = { ref: '12', call_ref: 77, extension: '1004', number: '27821234567', dialed_at, end_reason: 'hungup' }
  await dialler.lPush('enigma:notifications:campaigns', formatPacket({ type: 'cdr', payload: record }))
  await see('/missing', { items: [], next: null })
})
