import { ErrorReply } from 'redis'
import { createLog } from '../../runtime/index.ts'
import type { RelayConfig, SourceConfig } from '../config.ts'
import { RelayError } from '../errors.ts'
import { createRedis, type Redis } from '../redis.ts'
import { looseSecrets } from '../redis-address.ts'
import { makeCheck, within, type Check } from './check.ts'
import { fail, ok, warn, type Finding } from './finding.ts'
import { checkHeartbeat } from './heartbeat-check.ts'
import { checkList, checkNames, lookAtKeys } from './list-checks.ts'
import { checkChannels, checkConsumers, checkOutputBuffer } from './listener-checks.ts'
import { checkPersistence } from './persistence-check.ts'
import { checkClaims, checkParked, checkRelayId } from './relay-checks.ts'
import { checkRights } from './rights-check.ts'
import { checkMemory, checkRole, checkVersion } from './server-checks.ts'
import { ANSWER_MS, createSourceView, redisCli, type SourceView } from './source-view.ts'
import { isDenied, isUnknown, wordsOf } from './words-of.ts'

/** Three round trips of a claim at this many ms each are felt by the agent whose call it is. */
const SLOW_MS = 200

/** Everything about one Redis of ENIGMA_SOURCES. Changes nothing there and takes nothing. Never throws. */
export async function examineSource(
  source: SourceConfig,
  config: RelayConfig,
  now: () => number,
): Promise<readonly Finding[]> {
  // What goes wrong becomes a finding.
  const log = createLog('silent')
  const opened: Redis[] = []
  const create = (): Redis => {
    const client = createRedis({ ...source, name: source.id, log, reconnect: false })
    opened.push(client)
    return client
  }
  try {
    const [client, connection, listener] = [create(), create(), create()]
    const view = createSourceView({ source, config, client, now })
    const { name, ask } = view
    await within(ANSWER_MS, client.connect())
    const from = performance.now()
    await ask('PING').catch((error: unknown) => {
      // A server that refuses writes, reads its data or knows this user by fewer rights refuses this as well; that is said below.
      if (!(error instanceof ErrorReply) || /NOAUTH/.test(error.message)) throw error
    })
    const ms = Math.max(1, Math.round(performance.now() - from))
    const answer =
      ms > SLOW_MS
        ? warn(
            name('answer'),
            'doctor.redis.slow',
            `Redis answers after ${ms} ms: each claim waits for that`,
            'run the relay nearer to the dialler',
          )
        : ok(name('answer'), `Redis answers after ${ms} ms`)
    return [answer, ...(await makeChecks(view, connection, listener))]
  } catch (error) {
    return [unreachable(source, error)]
  } finally {
    for (const client of opened) if (client.isOpen) client.destroy()
  }
}

async function makeChecks(view: SourceView, connection: Redis, listener: Redis): Promise<readonly Finding[]> {
  const { name, config, source } = view
  let keys: ReturnType<typeof lookAtKeys> | undefined
  const look = () => (keys ??= lookAtKeys(view))
  const checks: Check[] = [
    { name: name('version'), run: () => checkVersion(view) },
    { name: name('role'), run: () => checkRole(view) },
    { name: name('memory'), run: () => checkMemory(view) },
    { name: name('persistence'), run: () => checkPersistence(view) },
    ...(source.passwordFile === undefined ? [] : [{ name: name('secrets'), run: async () => checkSecrets(view) }]),
    {
      name: name('rights'),
      run: () => within(ANSWER_MS, connection.connect()).then(() => checkRights(view, connection)),
    },
    {
      name: name('heartbeat'),
      run: () => within(ANSWER_MS, listener.connect()).then(() => checkHeartbeat(view, listener)),
    },
    { name: name('output-buffer'), run: () => checkOutputBuffer(view) },
    { name: name('channels'), run: () => checkChannels(view) },
    ...config.lists.map((list) => ({
      name: name(`list/${list}`),
      run: async () => {
        const all = await look()
        return checkList(view, all.find(({ key }) => key === list) ?? { key: list, type: 'none', items: 0 }, all)
      },
    })),
    { name: name('lists'), run: async () => checkNames(view, await look()) },
    { name: name('consumers'), run: () => checkConsumers(view) },
    { name: name('relay-id'), run: () => checkRelayId(view) },
    { name: name('claims'), run: () => checkClaims(view) },
    { name: name('parked'), run: () => checkParked(view) },
  ]
  return (await Promise.all(checks.map((check) => makeCheck(check, advise)))).flat()
}

function checkSecrets({ name, source }: SourceView): Finding {
  const loose = looseSecrets(source)
  return loose.length === 0
    ? ok(name('secrets'), 'only their owners can read the files of user and password')
    : warn(
        name('secrets'),
        'doctor.secrets.readable',
        'everybody on this machine can read a secret',
        `chmod 600 ${loose.join(' ')}`,
      )
}

function advise(error: unknown): string | undefined {
  if (isDenied(error)) return 'allow the user this command, if you want to know'
  if (isUnknown(error)) return 'give the command its name back in redis.conf, if you want to know'
  return undefined
}

function unreachable(source: SourceConfig, error: unknown): Finding {
  const check = `redis/${source.id}/answer`
  const { host } = new URL(source.url)
  const words = wordsOf(error)
  const says = `Redis at ${host} cannot be used: ${words}`
  if (error instanceof RelayError && error.code === 'relay.redis.no_secret')
    return fail(
      check,
      'doctor.redis.no_secret',
      `no user or password for ${host}: ${error.message}`,
      'write the file, and let the user of the relay read it: docs/relay.md, "TLS, users and passwords"',
    )
  if (/NOAUTH|WRONGPASS|invalid password|without any password|no password is set/i.test(words)) {
    return fail(
      check,
      'doctor.redis.no_access',
      says,
      'correct user and password in ENIGMA_SOURCES, best in files: docs/relay.md, "TLS, users and passwords"',
    )
  }
  if (/ECONNREFUSED/.test(words))
    return fail(
      check,
      'doctor.redis.unreachable',
      `nothing listens at ${host}`,
      'start Redis there, or correct ENIGMA_SOURCES',
    )
  if (/ENOTFOUND|EAI_AGAIN/.test(words))
    return fail(check, 'doctor.redis.unknown_host', `the host of ${host} is not known`, 'correct ENIGMA_SOURCES')
  if (/certificate|altnames|self.signed|SSL|TLS/i.test(words))
    return fail(
      check,
      'doctor.redis.untrusted',
      says,
      'name the authority of its certificate by caFile=, and the name in it by servername=: docs/relay.md, "TLS, users and passwords"',
    )
  return fail(check, 'doctor.redis.unreachable', says, `check that it is there from here: ${redisCli(source)} PING`)
}
