import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from 'redis'
import { startRedisServer } from '../../src/local/servers.ts'
import { startUpstashProxy } from '../../src/local/upstash-proxy.ts'
import type { Release } from '../../src/runtime/index.ts'
import { createStore, type Store } from '../../src/store/index.ts'
import { waitFor } from '../support/relay.ts'
import { spawnRelay } from '../support/relay-process.ts'
import { startSqsFaults, type AcceptedEntry } from '../support/sqs-faults.ts'
import { CHANNELS, LISTS, type Sample } from './samples.ts'

/** The maximum message size of the street's queues. */
export const MAX_BYTES = 256 * 1024

/** The result of a batch: the messages that SQS accepted, and the entries of the relay's parked list. */
export type Carried = { readonly messages: readonly AcceptedEntry[]; readonly parked: readonly string[] }

/** A packet is published on this channel after each batch. Once it arrives, the relay has heard everything before it. */
const END = 'enigma:notifications:fuzz-end:1'
const LIMIT_MS = 20_000

/** Counts the work left in Redis: items on lists, claims, and `waiting` lists. */
const COUNT_LEFT = `
local left = #redis.call('KEYS', 'enigma:relay:claim:*') + #redis.call('KEYS', 'enigma:relay:waiting:*')
for i = 1, #KEYS do left = left + redis.call('LLEN', KEYS[i]) end
return left
`

async function startReadModel(release: Release): Promise<Store> {
  const redis = await startRedisServer()
  release(() => redis.stop())
  const proxy = await startUpstashProxy({ redisUrl: redis.url, token: 'fuzz' })
  release(() => proxy.stop())
  return createStore({ url: proxy.url, token: 'fuzz' })
}

/** Starts the system that batches pass through: Redis, a relay process, the test SQS, and a read model with a separate Redis. */
export async function startFuzzStreet(release: Release) {
  const store = await startReadModel(release)
  const redis = await startRedisServer()
  release(() => redis.stop())
  const client = createClient({ url: redis.url, RESP: 2 })
  client.on('error', () => undefined)
  await client.connect()
  release(() => client.destroy())
  let messages: AcceptedEntry[] = []
  const sqs = await startSqsFaults({ maxBytes: MAX_BYTES, onAccepted: (entry) => void messages.push(entry) })
  release(() => sqs.stop())

  const start = async () => {
    // The new relay must not receive the packets that ended the previous one.
    await client.flushAll()
    const dataDir = await mkdtemp(join(tmpdir(), 'enigma-fuzz-'))
    release(() => rm(dataDir, { recursive: true, force: true }))
    const relay = spawnRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: LISTS, channels: CHANNELS, dataDir })
    release(async () => void (await relay.kill('SIGKILL')))
    await relay.ready()
    return relay
  }
  let relay = await start()
  let batches = 0

  return {
    store,
    /** Sends a batch. Resolves when the relay has settled all of it. @throws if the relay ends or does not finish within `LIMIT_MS` */
    async carry(samples: readonly Sample[]): Promise<Carried> {
      if (!relay.isRunning()) relay = await start()
      const { isRunning, exited, metric } = relay
      messages = []
      const mark = `end ${++batches}`
      await Promise.all(
        samples.map(({ transport, key, packet }) =>
          transport === 'list' ? client.lPush(key, packet) : client.publish(key, packet),
        ),
      )
      await client.publish(END, mark)
      const isThrough = () =>
        messages.findLastIndex(
          ({ queue, MessageBody }) => queue === 'enigma-other.fifo' && MessageBody.includes(`"${mark}"`),
        ) >= 0
      const isEmpty = async () =>
        (await client.eval(COUNT_LEFT, { keys: [...LISTS] })) === 0 &&
        (await metric('held')) === 0 &&
        (await metric('journal_rows')) === 0
      await waitFor(async () => !isRunning() || (isThrough() && (await isEmpty())), 'a batch to be through', LIMIT_MS)
      if (!isRunning()) throw new Error(`the relay ended: ${JSON.stringify(await exited)}`)
      const parked = await client.lRange('enigma:relay:parked', 0, -1)
      await client.del('enigma:relay:parked')
      return { messages, parked }
    },
    isEnd: (channel: string): boolean => channel === END,
  }
}

export type FuzzStreet = Awaited<ReturnType<typeof startFuzzStreet>>
