import { createClient, RESP_TYPES } from 'redis'
import { examineSource } from '../../src/relay/doctor/doctor.ts'
import type { Finding } from '../../src/relay/doctor/check.ts'
import { readConfig } from '../../src/relay/index.ts'

/** Groups findings by check. */
export function byCheck(findings: readonly Finding[]): Record<string, Finding[]> {
  return Object.fromEntries(Map.groupBy(findings, ({ check }) => check))
}

/** Returns the doctor's findings about a Redis by check, without `redis/main/`. Joins the texts of a check as lines. `env`: the relay's variables. */
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

/** Returns all keys of a Redis with their exact values and whether they expire, and the number of changes since the last save. */
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
