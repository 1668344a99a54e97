import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { arrivedAt, expectHeardOrAnnounced, expectOrderAndIds, gapsOf } from '../support/arrived.ts'
import { agentChannel, publishStatuses, statusOf } from '../support/load.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useFolder, waitFor } from '../support/relay.ts'
import { startRelayProcess } from '../support/relay-process.ts'
import { useSqsFaults } from '../support/sqs-faults.ts'

test(
  'G2: when Redis disconnects a frozen relay over its output buffer limit, the gap has the cause output_buffer_overrun',
  { timeout: 60_000 },
  async () => {
    const redis = await useRedisServer({ args: ['--client-output-buffer-limit', 'pubsub', '4mb', '0', '0'] })
    const [client, sqs] = [await useRedisClient(redis.url), await useSqsFaults()]
    const relay = startRelayProcess({ redisUrl: redis.url, endpoint: sqs.endpoint, dataDir: await useFolder() })
    await relay.ready()
    await waitFor(
      async () => (await relay.metric('output_buffer_limit_bytes')) === 4 * 1024 * 1024,
      'it to know the limit',
    )
    const statuses = publishStatuses(client, 100)
    await waitFor(() => statuses.written > 50, 'some to be published')
    // The frozen relay reads nothing, so its messages fill the server's buffer.
    process.kill(relay.pid as number, 'SIGSTOP')
    const filler = 'x'.repeat(10_000)
    // Slowly enough for the server, which checks ten times a second, to see the buffer grow.
    for (let n = 0; n < 300; n++) {
      await Promise.all(
        Array.from({ length: 5 }, () =>
          client.publish('enigma:notifications:agents:9999', statusOf(-1).replace('busy', filler)),
        ),
      )
      await sleep(5)
    }
    process.kill(relay.pid as number, 'SIGCONT')
    await waitFor(async () => (await gapsOf(sqs)).length > 0, 'the gap to be announced', 20_000)
    // The other publisher stops first, since this number is the highest.
    await statuses.stop()
    await client.publish(agentChannel(0), statusOf(1_000_000))
    await waitFor(async () => (await relay.metric('journal_rows')) === 0, 'all to be sent')
    expect(await gapsOf(sqs)).toMatchObject([{ cause: 'output_buffer_overrun', source: 'main' }])
    expect(relay.coded('relay.pubsub.gap')).toMatchObject([{ cause: 'output_buffer_overrun' }])
    const events = (await arrivedAt(sqs, 'agents-status')).filter((event) => !String(event.data).includes(filler))
    expectOrderAndIds(events)
    await expectHeardOrAnnounced(sqs, statuses.published)
  },
)
