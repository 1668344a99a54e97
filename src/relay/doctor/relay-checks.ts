import { hostname } from 'node:os'
import { isObject } from '../../protocol/index.ts'
import { claimPrefix, claimsKey, leaseKey, PARKED_KEY, RELAYS_KEY, WAITING_FIELD, waitingKey } from '../redis/keys.ts'
import { countCommands, findRefusals, mendRefusals, sayRefusals, type Need } from '../redis/rights.ts'
import { askIdentity, identityOf, judgeIdentity, sameServer } from '../redis/source-identity.ts'
import { counted, fail, inTime, ok, warn, type Diagnosis, type SourceView } from './check.ts'

/** Source id → the run id of its server, undefined when it is not told. Shared by the checks of all sources, which wait for each other's. */
type Others = ReadonlyMap<string, PromiseWithResolvers<string | undefined>>

/** Whether this server is the one that relays call by this name, and no other source of ENIGMA_SOURCES is the same. */
export async function checkIdentity({ source, client, info }: SourceView, others: Others): Promise<Diagnosis> {
  const runId = await info('run_id').catch(() => undefined)
  others.get(source.id)?.resolve(runId)
  const { name } = await inTime(askIdentity(client, source, false))
  if (name === identityOf(source)) return ok(`relays use the source id ${source.id} for this Redis`)
  const twins: string[] = []
  for (const [id, { promise }] of others)
    if (id !== source.id && runId !== undefined && (await promise) === runId) twins.push(id)
  // Of two that nobody has named yet the first may stay.
  const ids = [...others.keys()]
  const first = twins.find((id) => ids.indexOf(id) < ids.indexOf(source.id))
  const clash = first === undefined ? undefined : sameServer(source.id, first)
  const refusal = name === '' ? clash : judgeIdentity(source, (id) => twins.includes(id), name)
  return refusal === undefined
    ? ok(`no relay has used this Redis yet; its source id will be ${source.id}`)
    : fail(`doctor.source.${refusal.event}`, refusal.text, refusal.fix)
}

/**
 * Whether the user may do all that the relay cannot do without. Optional is what only figures need: without it the relay goes on, and tells
 * less; when all of that is there, nothing is said.
 */
export async function checkRights(view: SourceView, isOptional: boolean): Promise<Diagnosis | []> {
  const { config, client, connect, user, cli } = view
  const of = (need: Need) => (need.of === 'figures') === isOptional
  const connection = isOptional ? client : await connect()
  const give = (command: readonly string[]) => inTime(connection.sendCommand<unknown>([...command]))
  const refusals = await findRefusals({ config, give, of, isOwn: !isOptional })
  if (isOptional && refusals.length === 0) return []
  const name = await user()
  if (refusals.length === 0)
    return ok(`the user ${name} may run all ${countCommands(config, of)} commands that the relay needs`)
  const [text, fix] = [sayRefusals(refusals, name), mendRefusals(refusals, name, cli)]
  if (!isOptional) return fail('doctor.rights.missing', text, fix)
  return warn('doctor.rights.optional_missing', `${text}; the relay runs without them, but reports fewer metrics`, fix)
}

export async function checkRelayId({ ask, config }: SourceView): Promise<Diagnosis> {
  const lease = await ask('GET', leaseKey(config.relayId))
  if (typeof lease !== 'string') return ok(`${config.relayId} is free: no running relay uses it`)
  const { host, pid } = readLease(lease)
  const who = `${config.relayId} is held by process ${pid}`
  if (host === hostname()) return ok(`${who} on this host, which renewed its lease within the last 10 s`)
  const text = `${who} on host ${host}: a second relay with this id waits until that process has ended`
  const fix = `set ENIGMA_RELAY_ID=${config.relayId}-2 or another unique id, unless that process is this relay`
  return warn('doctor.relay_id.held', text, fix)
}

function readLease(text: string): { readonly host: string; readonly pid: number | string } {
  try {
    const lease: unknown = JSON.parse(text)
    const { host, pid } = isObject(lease) ? lease : {}
    return { host: typeof host === 'string' ? host : '?', pid: typeof pid === 'number' ? pid : '?' }
  } catch {
    return { host: '?', pid: '?' }
  }
}

/** Claims of relays that do not run: the next one that does takes them up. */
export async function checkClaims({ ask, config }: SourceView): Promise<Diagnosis | Diagnosis[]> {
  const known = ((await ask('ZRANGE', RELAYS_KEY, '0', '-1')) as unknown[]).map(String)
  const found = await Promise.all(
    [...new Set([config.relayId, ...known])].map(async (relayId) => {
      const [lives, fields] = await Promise.all([ask('EXISTS', leaseKey(relayId)), ask('HKEYS', claimsKey(relayId))])
      if (lives === 1) return []
      const lengths = (fields as unknown[]).map(String).map(async (field) => {
        const isWaiting = field.startsWith(WAITING_FIELD)
        const list = field.slice(WAITING_FIELD.length)
        return Number(await ask('LLEN', isWaiting ? waitingKey(relayId, list) : claimPrefix(relayId) + field))
      })
      const items = (await Promise.all(lengths)).reduce((sum, length) => sum + length, 0)
      if (items === 0) return []
      const text = `${counted(items, 'item is', 'items are')} in claims of ${relayId}, which is not running; the next running relay sends them`
      return warn('doctor.claims.left', text, 'start a relay: enigma-relay relay')
    }),
  )
  const left = found.flat()
  return left.length > 0 ? left : ok('no stopped relay has left claims')
}

/** What cannot be sent at all waits for somebody to look at it. */
export async function checkParked({ ask }: SourceView): Promise<Diagnosis> {
  const items = Number(await ask('LLEN', PARKED_KEY))
  if (items === 0) return ok('no notification is parked')
  const text = `${counted(items, 'notification is', 'notifications are')} parked`
  return warn('doctor.parked.waiting', text, 'list them: enigma-relay parked')
}
