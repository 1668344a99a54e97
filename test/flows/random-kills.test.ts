import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { formatId } from '../../src/protocol/index.ts'
import { arrivedAt, expectAll, expectHeardOrAnnounced, expectOrderAndIds } from '../support/arrived.ts'
import { openTestJournal } from '../support/journal.ts'
import { CAMPAIGNS, publishStatuses, pushCdrs } from '../support/load.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useFolder, waitFor } from '../support/relay.ts'
import { startRelayProcess } from '../support/relay-process.ts'
import { useSqsFaults } from '../support/sqs-faults.ts'

const KILLS = 10

/** Returns the ids of the Pub/Sub notifications in the journal of a dead relay. */
function readJournal(dataDir: string): string[] {
  const journal = openTestJournal(dataDir)
  const rows = journal.read('agents-status', 0, 1e9)
  journal.close()
  return rows.map(({ entry: { sourceId, number, index } }) => formatId(sourceId, 'pubsub', number, index))
}

test(
  'G1, G2, G3: a relay killed at ten random instants under 4,000 CDRs a second and Pub/Sub loses nothing it took or journalled',
  { timeout: 120_000 },
  async () => {
    const [redis, sqs, dataDir] = [await useRedisServer(), await useSqsFaults(), await useFolder()]
    const client = await useRedisClient(redis.url)
    sqs.state.answer = () => sleep(Math.random() * 10, 'accept' as const)
    const start = () => startRelayProcess({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [CAMPAIGNS], dataDir })
    const journalled = new Set<string>()
    // The very first start knows no earlier time, so it announces no gap.
    let relay = start()
    await relay.ready()
    const cdrs = pushCdrs(client, 4_000)
    const statuses = publishStatuses(client, 500)
    for (let kill = 0; kill < KILLS; kill++) {
      if (kill > 0) relay = start()
      const before = sqs.accepted.length
      await waitFor(() => sqs.accepted.length > before, 'it to send')
      await sleep(Math.random() * 400)
      expect(await relay.kill('SIGKILL')).toMatchObject({ signal: 'SIGKILL' })
      for (const id of readJournal(dataDir)) journalled.add(id)
    }
    const [pushed] = await Promise.all([cdrs.stop(), statuses.stop()])
    relay = start()
    await relay.ready()
    await waitFor(
      async () => (await client.lLen(CAMPAIGNS)) === 0 && (await relay.metric('held')) === 0,
      'all to be sent',
      60_000,
    )
    await waitFor(
      async () =>
        (await relay.metric('journal_rows')) === 0 && (await client.keys('enigma:relay:claim:*')).length === 0,
      'nothing to be kept',
    )

    const [cdrEvents, statusEvents] = [await arrivedAt(sqs, 'campaigns-cdr'), await arrivedAt(sqs, 'agents-status')]
    expectAll(cdrEvents, pushed)
    expectOrderAndIds(cdrEvents)
    expectOrderAndIds(statusEvents)
    expect(journalled.size).toBeGreaterThan(0)
    const arrived = new Set(statusEvents.map(({ id }) => id))
    expect([...journalled].filter((id) => !arrived.has(id))).toEqual([])
    await expectHeardOrAnnounced(sqs, statuses.published)
  },
)
