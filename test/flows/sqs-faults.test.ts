import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { arrivedAt, expectAll, expectOrderAndIds } from '../support/arrived.ts'
import { CAMPAIGNS, publishStatuses, pushCdrs } from '../support/load.ts'
import { startProxy } from '../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useFolder, waitFor } from '../support/relay.ts'
import { startRelayProcess } from '../support/relay-process.ts'
import { useReservedPort } from '../support/reserved-port.ts'
import { useSqsFaults, type Answer, type WireEntry } from '../support/sqs-faults.ts'

const FAULT_MS = 3_000
const ROUTES = ['campaigns-cdr', 'agents-status']

/** How SQS answers in each fault. In a partial failure, every third message group fails. */
const ANSWERS: Readonly<Record<string, () => Answer>> = {
  'answers 500': () => ({ status: 500, code: 'InternalFailure' }),
  throttles: () => ({ status: 400, code: 'ThrottlingException' }),
  hangs: () => 'hang',
  'accepts, but the answer is lost': () => 'lose',
  'refuses some entries for now': () => ({
    fail: ({ MessageGroupId }) =>
      Number(MessageGroupId) % 3 === 0 ? { Code: 'InternalError', SenderFault: false } : undefined,
  }),
  'says that the credentials have expired': () => ({ status: 403, code: 'ExpiredToken' }),
}

test(
  'G1, G3, G7: at 500 a second, the relay soon recovers from each 3-second SQS fault, loses and reorders nothing, and resends nothing accepted',
  { timeout: 120_000 },
  async () => {
    const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
    const client = await useRedisClient(redis.url)
    const port = await useReservedPort()
    let proxy = await startProxy(sqs.port, port)
    onTestFinished(() => proxy.stop())
    const relay = startRelayProcess({
      redisUrl: redis.url,
      endpoint: `http://127.0.0.1:${proxy.port}`,
      lists: [CAMPAIGNS],
      dataDir: await useFolder(),
    })
    await relay.ready()
    const cdrs = pushCdrs(client, 250)
    const statuses = publishStatuses(client, 250)

    /** The entries that SQS accepted in an answer that reached the relay. */
    const known = new Set<string>()
    const again: string[] = []
    const idOf = (queue: string, entry: WireEntry) => `${queue} ${entry.MessageDeduplicationId}`
    let behave = (): Answer => 'accept'
    sqs.state.answer = ({ queue, entries }) => {
      const answer = behave()
      for (const entry of entries) {
        if (known.has(idOf(queue, entry))) again.push(idOf(queue, entry))
        if (answer === 'accept' || (typeof answer === 'object' && 'fail' in answer && answer.fail(entry) === undefined))
          known.add(idOf(queue, entry))
      }
      return answer
    }
    const acceptedOf = (route: string) => sqs.accepted.filter(({ queue }) => queue === `enigma-${route}.fifo`).length
    const faults: [string, () => unknown, () => unknown][] = [
      ['refuses connections', () => proxy.stop(), async () => (proxy = await startProxy(sqs.port, port))],
      ...Object.entries(ANSWERS).map(([name, answer]): [string, () => unknown, () => unknown] => [
        name,
        () => (behave = answer),
        () => (behave = () => 'accept'),
      ]),
    ]
    const recoveredMs: Record<string, number> = {}
    let most = 0
    for (const [name, begin, end] of faults) {
      await waitFor(async () => (await relay.metric('held')) < 100, `it to catch up before SQS ${name}`)
      await begin()
      await sleep(FAULT_MS)
      most = Math.max(most, await relay.metric('held'))
      await end()
      const [from, before] = [performance.now(), ROUTES.map(acceptedOf)]
      await waitFor(
        () => ROUTES.every((route, at) => acceptedOf(route) > (before[at] ?? 0)),
        `it to send again after SQS ${name}`,
      )
      recoveredMs[name] = Math.round(performance.now() - from)
    }
    const [pushed, published] = await Promise.all([cdrs.stop(), statuses.stop()])
    await waitFor(
      async () =>
        (await client.lLen(CAMPAIGNS)) === 0 &&
        (await relay.metric('held')) === 0 &&
        (await relay.metric('journal_rows')) === 0,
      'all to be sent',
      30_000,
    )
    const [cdrEvents, statusEvents] = [await arrivedAt(sqs, 'campaigns-cdr'), await arrivedAt(sqs, 'agents-status')]
    expectAll(cdrEvents, pushed)
    expectAll(statusEvents, published)
    for (const events of [cdrEvents, statusEvents]) {
      expectOrderAndIds(events)
      // SQS discards copies, so each event is there once.
      expect(new Set(events.map(({ id }) => id)).size).toBe(events.length)
    }
    expect(again).toEqual([])
    // The faults had an effect: notifications gathered in the relay.
    expect(most).toBeGreaterThan(500)
    expect(Object.entries(recoveredMs).filter(([, ms]) => ms > 2_000)).toEqual([])
    expect(await relay.metric('process_resident_memory_bytes')).toBeLessThan(200 * 1024 * 1024)
    expect(await relay.metric('parked_total')).toBe(0)
  },
)
