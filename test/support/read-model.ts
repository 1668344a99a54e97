import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { createClient } from 'redis'
import { onTestFinished } from 'vitest'
import { startRedisServer } from '../../src/local/servers.ts'
import { startUpstashProxy } from '../../src/local/upstash-proxy.ts'
import { createStore, type StoreOptions, type UpstashAddress } from '../../src/store/index.ts'

/** A database that speaks Upstash's HTTP. */
export type Database = UpstashAddress & { readonly stop: () => Promise<void> }
export type Backend = { readonly name: string; readonly start: () => Promise<Database> }

const TOKEN = 'test-token'

/**
 * Runs each command on Redis as it comes, without any code of the proxy. It speaks HTTP because `new Redis(requester)` takes no options: such a
 * client would parse replies as JSON and combine commands into pipelines, unlike the store's own.
 */
async function startPlainRedis(): Promise<Database> {
  const redis = await startRedisServer()
  const client = createClient({ url: redis.url, RESP: 2 })
  await client.connect()
  const run = (command: string[]) =>
    client.sendCommand(command).then(
      (result) => ({ result }),
      (error: Error) => ({ error: error.message }),
    )
  const server = createServer((request, response) => {
    void json(request).then(async (body) => {
      const isPipeline = request.url === '/pipeline'
      const answer = isPipeline
        ? await Promise.all((body as string[][]).map(run))
        : await run((body as unknown[]).map(String))
      response.writeHead('error' in answer ? 400 : 200).end(JSON.stringify(answer))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: TOKEN,
    stop: async () => {
      server.close()
      server.closeAllConnections()
      client.destroy()
      await redis.stop()
    },
  }
}

async function startProxiedRedis(): Promise<Database> {
  const redis = await startRedisServer()
  const proxy = await startUpstashProxy({ redisUrl: redis.url, token: TOKEN })
  return {
    url: proxy.url,
    token: TOKEN,
    stop: async () => {
      await proxy.stop()
      await redis.stop()
    },
  }
}

/** The maximum number of other keys in the database: the tests find theirs by SCAN, which reads all keys, and Upstash bills each command. */
const MAX_FOREIGN_KEYS = 10_000

async function openUpstash(address: UpstashAddress): Promise<Database> {
  const size = await send(address, ['DBSIZE'])
  if (Number(size) > MAX_FOREIGN_KEYS)
    throw new Error(`the database of ENIGMA_TEST_UPSTASH_URL has ${String(size)} keys: give the tests one of their own`)
  return { ...address, stop: () => Promise.resolve() }
}

/** Returns the databases on which the read model has to behave alike. Upstash is one of them if the environment has an address. */
export function toBackends(env: Readonly<Record<string, string | undefined>>): Backend[] {
  const { ENIGMA_TEST_UPSTASH_URL: url = '', ENIGMA_TEST_UPSTASH_TOKEN: token = '' } = env
  if ((url === '') !== (token === ''))
    throw new Error('set both ENIGMA_TEST_UPSTASH_URL and ENIGMA_TEST_UPSTASH_TOKEN, or neither')
  return [
    { name: 'plain Redis', start: startPlainRedis },
    { name: 'the proxy', start: startProxiedRedis },
    ...(url === '' ? [] : [{ name: 'Upstash', start: () => openUpstash({ url, token }) }]),
  ]
}

/** Sends one command. @throws Error with the database's own words */
async function send({ url, token }: UpstashAddress, command: readonly string[]): Promise<unknown> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify(command),
  })
  const { result, error } = (await response.json()) as { readonly result?: unknown; readonly error?: string }
  if (error !== undefined) throw new Error(error)
  return result
}

/** Opens a read model under a prefix of its own. Its keys are deleted when the test ends. */
export function useReadModel(database: UpstashAddress, options: Partial<StoreOptions> = {}) {
  const prefix = `enigma-contract-${crypto.randomUUID()}:`
  /** Returns its keys without the prefix. */
  const findKeys = async (): Promise<string[]> => {
    const keys = new Set<string>()
    for (let cursor = '0'; ;) {
      const reply = await send(database, ['SCAN', cursor, 'MATCH', `${prefix}*`, 'COUNT', '1000'])
      const [next, some] = reply as [string, string[]]
      for (const key of some) keys.add(key.slice(prefix.length))
      if (next === '0') return [...keys].toSorted()
      cursor = next
    }
  }
  /** Runs a command on one of its keys; it cannot reach any other key. */
  const run = (name: string, key: string, ...args: string[]) => send(database, [name, prefix + key, ...args])
  onTestFinished(async () => {
    const keys = (await findKeys()).map((key) => prefix + key)
    if (keys.length > 0) await send(database, ['DEL', ...keys])
  })
  /** Returns the keys without an expiry. */
  const findLasting = async (): Promise<string[]> => {
    const keys = await findKeys()
    const seconds = await Promise.all(keys.map((key) => run('TTL', key)))
    return keys.filter((_, index) => Number(seconds[index]) < 0)
  }
  /** Opens a store under the prefix, or under a longer one. */
  const open = (more = '') => createStore({ ...database, prefix: prefix + more, ...options })
  /** Runs a script by a digest that no script has. */
  const runUnknownScript = () => send(database, ['EVALSHA', '0'.repeat(40), '0'])
  return { store: open(), open, findKeys, findLasting, run, runUnknownScript }
}
