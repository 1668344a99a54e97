import { createLog } from '../../runtime/index.ts'
import type { RelayConfig, SourceConfig } from '../config.ts'
import { judgeConnection } from '../redis/ask-why.ts'
import { createRedis, type Redis } from '../redis/client.ts'
import { looseSecrets, redisCli } from '../redis/address.ts'
import { isAnswer, isDenied, isUnknown, judgeRedis, type RedisFault } from '../redis/advice.ts'
import { makeCheck, within, type Check } from './check.ts'
import { fail, ok, warn, type DoctorCode, type Finding } from './finding.ts'
import { checkHeartbeat } from './heartbeat-check.ts'
import { checkIdentity, createOthers, type Others } from './identity-check.ts'
import { checkList, checkNames, lookAtKeys } from './list-checks.ts'
import { checkChannels, checkConsumers, checkOutputBuffer } from './listener-checks.ts'
import { checkPersistence } from './persistence-check.ts'
import { checkClaims, checkParked, checkRelayId } from './relay-checks.ts'
import { checkRights } from './rights-check.ts'
import { checkMemory, checkRole, checkVersion } from './server-checks.ts'
import { ANSWER_MS, createSourceView, type SourceView } from './source-view.ts'
import { oneLine, wordsOf } from './words-of.ts'

/** Three round trips of a claim at this many ms each are felt by the agent whose call it is. */
const SLOW_MS = 200

/** Everything about one Redis of ENIGMA_SOURCES. Changes nothing there and takes nothing. Never throws. */
export async function examineSource(
  source: SourceConfig,
  config: RelayConfig,
  now: () => number,
  others: Others = createOthers([]),
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
    const refusal = await ask('PING').then(
      () => undefined,
      (error: unknown) => {
        // An error is an answer as well, and the checks below may say more; but nothing can be asked of a server that does not let in.
        if (!isAnswer(error) || judgeRedis(error).code === 'relay.redis.access_denied') throw error
        return judgeRedis(error)
      },
    )
    const ms = Math.max(1, Math.round(performance.now() - from))
    const answer =
      ms > SLOW_MS
        ? warn(
            name('answer'),
            'doctor.redis.slow',
            `Redis answers after ${ms} ms, which delays each claim`,
            'run the relay closer to the dialler',
          )
        : ok(name('answer'), `Redis answers after ${ms} ms`)
    const ping =
      refusal === undefined
        ? []
        : [fail(name('ping'), codeOf(refusal), `${refusal.says} (${oneLine(refusal.words)})`, refusal.fix)]
    return [answer, ...ping, ...(await makeChecks(view, connection, listener, others))]
  } catch (error) {
    return [await unreachable(source, error)]
  } finally {
    others.get(source.id)?.resolve(undefined)
    for (const client of opened) if (client.isOpen) client.destroy()
  }
}

async function makeChecks(
  view: SourceView,
  connection: Redis,
  listener: Redis,
  others: Others,
): Promise<readonly Finding[]> {
  const { name, config, source } = view
  let keys: ReturnType<typeof lookAtKeys> | undefined
  const look = () => (keys ??= lookAtKeys(view))
  const checks: Check[] = [
    { name: name('version'), run: () => checkVersion(view) },
    { name: name('role'), run: () => checkRole(view) },
    { name: name('source'), run: () => checkIdentity(view, others) },
    { name: name('memory'), run: () => checkMemory(view) },
    { name: name('persistence'), run: () => checkPersistence(view) },
    ...(source.passwordFile === undefined && source.keyFile === undefined
      ? []
      : [{ name: name('secrets'), run: async () => checkSecrets(view) }]),
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
    ? ok(name('secrets'), 'only their owner can read the user, password and key files')
    : warn(
        name('secrets'),
        'doctor.secrets.readable',
        `every user of this host can read ${loose.join(', ')}`,
        `chmod 600 ${loose.join(' ')}`,
      )
}

function advise(error: unknown): string | undefined {
  if (isDenied(error)) return 'allow this command for the user, if you want the check'
  if (isUnknown(error)) return 'remove rename-command of this command from redis.conf, if you want the check'
  return undefined
}

/** The same codes as in the relay's log. */
const codeOf = ({ code }: RedisFault): DoctorCode => `doctor.redis.${code.split('.')[2]}`

async function unreachable(source: SourceConfig, error: unknown): Promise<Finding> {
  const check = `redis/${source.id}/answer`
  const { host } = new URL(source.url)
  const fault = await judgeConnection(error, source)
  const code = codeOf(fault)
  if (fault.code === 'relay.redis.no_secret')
    return fail(
      check,
      code,
      `the relay has no user or password for ${host}: ${fault.words}`,
      'create the file, and let the user that runs the relay read it: docs/relay.md, "TLS, users and passwords"',
    )
  if (/ECONNREFUSED/.test(fault.words))
    return fail(check, code, `nothing listens at ${host}`, 'start Redis there, or correct ENIGMA_SOURCES')
  if (fault.code === 'relay.redis.unreachable')
    return fail(
      check,
      code,
      `Redis at ${host} cannot be used: ${wordsOf(error)}`,
      `check that this host can reach it: ${redisCli(source)} PING`,
    )
  return fail(check, code, `Redis at ${host} cannot be used: ${fault.says} (${oneLine(fault.words)})`, fault.fix)
}
