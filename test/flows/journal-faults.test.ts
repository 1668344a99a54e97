import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { arrivedAt, expectAll, expectOrderAndIds, gapsOf } from '../support/arrived.ts'
import { toNumbered } from '../support/collect.ts'
import { agentChannel, CAMPAIGNS, cdrOf, statusOf } from '../support/load.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useFolder, waitFor } from '../support/relay.ts'
import { startRelayProcess, type RelayProcessOptions } from '../support/relay-process.ts'
import { useSqsFaults } from '../support/sqs-faults.ts'

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)
const FILLER = 'x'.repeat(400)
const largeStatusOf = (n: number) => statusOf(n).replace('"busy"', `"busy","filler":"${FILLER}"`)

async function useStreet() {
  const [redis, sqs, dataDir] = [await useRedisServer(), await useSqsFaults(), await useFolder()]
  const client = await useRedisClient(redis.url)
  return {
    sqs,
    client,
    dataDir,
    refuse: () =>
      (sqs.state.answer = ({ queue }) =>
        queue.includes('agents') || queue.includes('relay') ? { status: 503, code: 'ServiceUnavailable' } : 'accept'),
    accept: () => (sqs.state.answer = () => 'accept'),
    publish: async (from: number, to: number) => {
      for (let n = from; n < to; n += 200)
        await Promise.all(
          numbers(Math.min(200, to - n)).map((at) => client.publish(agentChannel(n + at), largeStatusOf(n + at))),
        )
    },
    start: (own: Partial<RelayProcessOptions> = {}) =>
      startRelayProcess({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [CAMPAIGNS], dataDir, ...own }),
  }
}

test(
  'G3: with a full disk the relay is not ready but keeps sending, and everything arrives in order once disk and SQS recover',
  { timeout: 60_000 },
  async () => {
    const { sqs, client, refuse, accept, publish, start } = await useStreet()
    const relay = start({ fileKib: 1_024 })
    await relay.ready()
    expect((await relay.readiness()).status).toBe(200)
    refuse()
    await publish(0, 3_000)
    await waitFor(
      async () => (await relay.metric('received_total', { transport: 'pubsub' })) === 3_000,
      'all to be heard',
    )
    expect((await relay.readiness()).status).toBe(503)
    // A write may have succeeded in the meantime, if it fits into the space of settled rows.
    await waitFor(() => relay.coded('relay.journal.write_failed').length > 0, 'it to be logged')
    const [line] = relay.coded('relay.journal.write_failed')
    expect(line).toMatchObject({ level: 50 })
    expect(JSON.stringify(line)).toMatch(/disk|full|I\/O/)

    await client.lPush(CAMPAIGNS, numbers(2_000).map(cdrOf))
    await waitFor(async () => (await arrivedAt(sqs, 'campaigns-cdr')).length === 2_000, 'the lists to go on')
    // Pub/Sub notifications that SQS accepts do not wait for the disk.
    await client.publish('enigma:notifications:campaigns:7', statusOf(0))
    await waitFor(async () => (await arrivedAt(sqs, 'campaigns-status')).length === 1, 'PubSub to go on')
    // The journal may have been written in the meantime: settled rows make room in a file that cannot grow.
    await relay.liftFileLimit()
    await waitFor(
      async () => (await relay.readiness()).parts['journal']?.ok === true,
      'the journal to be written again',
      20_000,
    )
    await publish(3_000, 3_500)
    await waitFor(async () => (await relay.metric('journal_rows')) >= 500, 'the journal to have what came then')
    accept()
    await waitFor(async () => (await arrivedAt(sqs, 'agents-status')).length >= 3_500, 'all to be sent', 20_000)
    await waitFor(async () => (await relay.metric('journal_rows')) === 0, 'the journal to be empty')
    const events = await arrivedAt(sqs, 'agents-status')
    expectAll(events, 3_500)
    expectOrderAndIds(events)
    expect(await gapsOf(sqs)).toEqual([])
    expect((await relay.readiness()).status).toBe(200)
  },
)

test(
  'G2: notifications that a full disk kept out of the journal are announced as lost after a stop, with their number',
  { timeout: 60_000 },
  async () => {
    const { sqs, refuse, accept, publish, start } = await useStreet()
    const relay = start({ fileKib: 1_024 })
    await relay.ready()
    refuse()
    await publish(0, 3_000)
    await waitFor(async () => (await relay.readiness()).parts['journal']?.ok === false, 'the disk to be full')
    await relay.liftFileLimit()
    await waitFor(async () => (await relay.readiness()).parts['journal']?.ok === true, 'room again', 20_000)
    await publish(3_000, 3_500)
    await waitFor(
      async () => (await relay.metric('received_total', { transport: 'pubsub' })) === 3_500,
      'all to be heard',
    )
    await relay.kill('SIGTERM')
    accept()
    const next = start()
    await next.ready()
    await waitFor(async () => (await next.metric('journal_rows')) === 0, 'all to be sent', 20_000)
    const events = await arrivedAt(sqs, 'agents-status')
    expectOrderAndIds(events)
    const arrived = new Set(events.map((event) => toNumbered(event).n))
    const gaps = await gapsOf(sqs)
    expect(gaps.map(({ cause }) => cause).toSorted()).toEqual(['journal_full', 'start'])
    const [full] = gaps.filter(({ cause }) => cause === 'journal_full')
    expect(full?.lost).toBe(3_500 - arrived.size)
    expect(full?.lost).toBeGreaterThan(0)
    // Notifications with a row in the journal survive.
    expect(numbers(500).filter((n) => !arrived.has(3_000 + n))).toEqual([])
  },
)

test(
  'G2: a damaged journal is moved aside, and its readable rows arrive in order, before newer notifications',
  { timeout: 60_000 },
  async () => {
    const { sqs, dataDir, refuse, accept, publish, start } = await useStreet()
    refuse()
    const relay = start()
    await relay.ready()
    await publish(0, 4_000)
    await waitFor(async () => (await relay.metric('journal_rows')) === 4_000, 'all to be in the journal')
    await relay.kill('SIGTERM')
    const file = join(dataDir, 'journal-test.db')
    const bytes = (await stat(file)).size
    expect(bytes).toBeGreaterThan(1024 * 1024)
    const handle = await open(file, 'r+')
    await handle.write(Buffer.alloc(20_000, 0xaa), 0, 20_000, Math.floor(bytes / 2 / 4_096) * 4_096)
    await handle.close()

    const next = start()
    await next.ready()
    const [said] = next.coded('relay.journal.damaged')
    expect(said).toMatchObject({ level: 50 })
    const aside = (await readdir(dataDir)).filter((name) => name.includes('damaged'))
    expect(aside.length).toBeGreaterThan(0)
    expect((await stat(join(dataDir, aside[0] as string))).size).toBe(bytes)
    await publish(4_000, 4_500)
    accept()
    await waitFor(async () => (await next.metric('journal_rows')) === 0, 'all to be sent', 20_000)
    const events = await arrivedAt(sqs, 'agents-status')
    expectOrderAndIds(events)
    const arrived = new Set(events.map((event) => toNumbered(event).n))
    // Five damaged pages lose about seven rows each.
    expect(arrived.size).toBeGreaterThan(4_400)
    expect(arrived.size).toBeLessThan(4_500)
    expect(numbers(500).filter((n) => !arrived.has(4_000 + n))).toEqual([])
  },
)
