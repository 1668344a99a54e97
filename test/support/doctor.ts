import { createClient, RESP_TYPES } from 'redis'
import { examineSource } from '../../src/relay/doctor/doctor.ts'
import type { Finding } from '../../src/relay/doctor/check.ts'
import { readConfig } from '../../src/relay/index.ts'

/** By what was looked at; those of one check behind each other. */
export function byCheck(findings: readonly Finding[]): Record<string, Finding[]> {
  return Object.fromEntries(Map.groupBy(findings, ({ check }) => check))
}

/** What doctor says of the Redis at this address, `redis/main/` left out; texts of one check joined by lines. Variables are the relay's. */
export async function lookAtRedis(url: string, env: Record<string, string> = {}): Promise<Record<string, Finding>> {
  const config = readConfig({ ENIGMA_SOURCES: `main=${url}`, ENIGMA_RELAY_ID: 'test', AWS_REGION: 'none', ...env })
  const findings = await examineSource(config.sources[0] as (typeof config.sources)[0], config, Date.now)
  return Object.fromEntries(
    Object.entries(byCheck(findings)).map(([check, ofCheck]) => [
      check.replace('redis/main/', ''),
      { ...(ofCheck[0] as Finding), text: ofCheck.map(({ text }) => text).join('\n') },
    ]),
  )
}

/** All that is in a Redis, byte for byte, and how many changes it has seen. */
export async function everythingIn(url: string) {
  const client = createClient({ url, RESP: 2 })
  client.on('error', () => undefined)
  await client.connect()
  try {
    const keys = (await client.keys('*')).toSorted()
    const asBytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
    const values = await Promise.all(
      keys.map(async (key) => [key, (await asBytes.dump(key))?.toString('hex'), (await client.pTTL(key)) === -1]),
    )
    return { values, changes: /rdb_changes_since_last_save:(\d+)/.exec(await client.info('persistence'))?.[1] }
  } finally {
    client.destroy()
  }
}
