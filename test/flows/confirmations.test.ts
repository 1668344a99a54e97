import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient as createRedis } from 'redis'
import { expect, onTestFinished, test } from 'vitest'
import { createClient } from '../../src/client/index.ts'
import { startStreet } from '../../src/local/street/street.ts'
import { formatPacket } from '../../src/protocol/index.ts'
import { createLog } from '../../src/runtime/index.ts'

/** The whole street: from the dialler's notifications after a request to the outcome that the API's client returns. */
test(
  'the dialler’s notifications decide whether a request is confirmed, failed or pending',
  { timeout: 120_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'enigma-confirmations-'))
    const env = Object.assign(process.env, { ENIGMA_API: '127.0.0.1:0', ENIGMA_HTTP: '127.0.0.1:0' })
    const street = await startStreet({ env, folder, log: createLog('silent'), diallerPort: 0 })
    const dialler = createRedis({ url: street.diallerUrl as string, RESP: 2 })
    await dialler.connect()
    onTestFinished(async () => {
      dialler.destroy()
      await street.stop()
      await rm(folder, { recursive: true, force: true })
    })
    const publish = (key: string, payload: object) =>
      dialler.publish(`enigma:notifications:${key}`, formatPacket({ type: 'status', payload }))
    const client = createClient({ url: street.api.url, token: street.api.token })

    // This notification passes through the whole street before the cursor is read.
    await publish('campaigns:7', { ref: '7', status: 'started' })
    await expect
      .poll(async () => (await client.campaign('7').catch(() => undefined))?.status, { timeout: 30_000 })
      .toBe('started')
    const stopped = await client.expect('campaigns/7', 'stopped')
    const available = await client.expect('agents/1002', 'available', { campaign: '7' })
    const disposed = await client.expect('calls/900', 'cdr')
    const started = await client.expect('campaigns/7', 'started')
    await publish('campaigns:7', { ref: '7', status: 'stopping' })
    await publish('agents:1002', { ref: '1002', status: 'available', campaign_ref: '8' })
    for (const status of ['logging_in', 'offline'])
      await publish('agents:1002', { ref: '1002', status, campaign_ref: '7' })
    await publish('campaigns:7', { ref: '7', status: 'stopped' })
    const record = { call_ref: 900, dialed_at: Math.floor(Date.now() / 1000), end_reason: 'hungup', ref: '7' }
    await dialler.lPush('enigma:notifications:campaigns', formatPacket({ type: 'cdr', payload: record }))

    expect(await stopped.within(30_000)).toMatchObject({
      outcome: 'confirmed',
      seen: ['stopping'],
      notification: { type: 'campaigns/status', source: 'main' },
    })
    expect(await available.within(30_000)).toMatchObject({ outcome: 'failed', seen: ['logging_in'] })
    expect(await disposed.within(30_000)).toMatchObject({ outcome: 'confirmed', state: 'hungup' })
    expect(await started.within(500)).toMatchObject({ outcome: 'pending', state: 'stopped' })
  },
)
