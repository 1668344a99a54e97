import { hostname } from 'node:os'
import { isObject } from '../../protocol/index.ts'
import { claimPrefix, claimsKey, leaseKey, PARKED_KEY, RELAYS_KEY, waitingKey } from '../redis/keys.ts'
import { ok, warn, type Finding } from './finding.ts'
import type { SourceView } from './source-view.ts'

/** Whether the relay id is free, or whose it is. */
export async function checkRelayId({ name, ask, config }: SourceView): Promise<Finding> {
  const check = name('relay-id')
  const holder = await ask('GET', leaseKey(config.relayId))
  if (typeof holder !== 'string') return ok(check, `${config.relayId} is free: no running relay uses it`)
  const { host, pid } = readHolder(holder)
  const who = `${config.relayId} is held by process ${pid}`
  if (host === hostname()) return ok(check, `${who} on this host, which was running in the last 10 s`)
  return warn(
    check,
    'doctor.relay_id.held',
    `${who} on host ${host}: a second relay with this id waits until that process has ended`,
    `set ENIGMA_RELAY_ID=${config.relayId}-2 or another unique id, unless that process is this relay`,
  )
}

function readHolder(text: string): { readonly host: string; readonly pid: string } {
  try {
    const holder: unknown = JSON.parse(text)
    const { host, pid } = isObject(holder) ? holder : {}
    return { host: typeof host === 'string' ? host : '?', pid: typeof pid === 'number' ? String(pid) : '?' }
  } catch {
    return { host: '?', pid: '?' }
  }
}

/** Claims of relays that do not run: the next one that does takes them up. */
export async function checkClaims({ name, ask, config }: SourceView): Promise<Finding[]> {
  const check = name('claims')
  const known = ((await ask('ZRANGE', RELAYS_KEY, '0', '-1')) as unknown[]).map(String)
  const left = await Promise.all(
    [...new Set([config.relayId, ...known])].map(async (relayId) => {
      const [lives, fields] = await Promise.all([ask('EXISTS', leaseKey(relayId)), ask('HKEYS', claimsKey(relayId))])
      const keys = (fields as unknown[])
        .map(String)
        .map((field) =>
          field.startsWith('waiting:')
            ? waitingKey(relayId, field.slice('waiting:'.length))
            : claimPrefix(relayId) + field,
        )
      const items =
        lives === 1
          ? 0
          : (await Promise.all(keys.map((key) => ask('LLEN', key).then(Number)))).reduce((sum, count) => sum + count, 0)
      return { relayId, items }
    }),
  )
  const findings = left
    .filter(({ items }) => items > 0)
    .map(({ relayId, items }) =>
      warn(
        check,
        'doctor.claims.left',
        `${items} ${items === 1 ? 'item is' : 'items are'} in claims of ${relayId}, which is not running; the next running relay sends them`,
        'start a relay: enigma-relay relay',
      ),
    )
  return findings.length > 0 ? findings : [ok(check, 'no stopped relay has left claims')]
}

/** What cannot be sent at all waits for somebody to look at it. */
export async function checkParked({ name, ask }: SourceView): Promise<Finding> {
  const items = Number(await ask('LLEN', PARKED_KEY))
  return items === 0
    ? ok(name('parked'), 'no notification is parked')
    : warn(
        name('parked'),
        'doctor.parked.waiting',
        `${items} ${items === 1 ? 'notification is' : 'notifications are'} parked`,
        'list them: enigma-relay parked',
      )
}
