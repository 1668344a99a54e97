import type { RelayConfig, SourceConfig } from '../config.ts'
import { redisCli } from '../redis/address.ts'
import { isAnswer, isDenied, isUnknown, judgeRedis, type RedisFault } from '../redis/advice.ts'
import { judgeConnection } from '../redis/ask-why.ts'
import { fail, makeChecks, ok, oneLine, warn, wordsOf, type Checks, type Diagnosis, type Finding } from './check.ts'
import { checkConsumers, checkList, checkNames, lookAtKeys } from './list-checks.ts'
import { checkChannels, checkHeartbeat, checkOutputBuffer } from './pubsub-checks.ts'
import { checkClaims, checkIdentity, checkParked, checkRelayId, createOthers, type Others } from './relay-checks.ts'
import { checkOptionalRights, checkRights, checkSecrets } from './rights-checks.ts'
import { checkMemory, checkPersistence, checkRole, checkVersion } from './server-checks.ts'
import { createSourceView, type SourceView } from './source-view.ts'

/** Three round trips of a claim at this many ms each are felt by the agent whose call it is. */
const SLOW_MS = 200

/** Everything about one Redis of ENIGMA_SOURCES. Changes nothing there and takes nothing. Never throws. */
export async function examineSource(
  source: SourceConfig,
  config: RelayConfig,
  now: () => number,
  others: Others = createOthers([]),
): Promise<readonly Finding[]> {
  const part = `redis/${source.id}`
  const { open, close } = createSourceView(source, config, now)
  try {
    const view = await open()
    const from = performance.now()
    const refusal = await findRefusal(view)
    const ms = Math.max(1, Math.round(performance.now() - from))
    return [
      { check: `${part}/answer`, ...judgeDelay(ms) },
      ...(refusal === undefined ? [] : [{ check: `${part}/ping`, ...refusal }]),
      ...(await makeChecks(part, checksOf(view, others), explain)),
    ]
  } catch (error) {
    return [{ check: `${part}/answer`, ...(await explainAbsence(source, error)) }]
  } finally {
    // Another source may wait for what this one did not come to say.
    others.get(source.id)?.resolve(undefined)
    close()
  }
}

function checksOf(view: SourceView, others: Others): Checks {
  let keys: ReturnType<typeof lookAtKeys> | undefined
  const look = () => (keys ??= lookAtKeys(view))
  return {
    version: () => checkVersion(view),
    role: () => checkRole(view),
    source: () => checkIdentity(view, others),
    memory: () => checkMemory(view),
    persistence: () => checkPersistence(view),
    secrets: () => checkSecrets(view),
    rights: () => checkRights(view),
    'rights/optional': () => checkOptionalRights(view),
    heartbeat: () => checkHeartbeat(view),
    'output-buffer': () => checkOutputBuffer(view),
    channels: () => checkChannels(view),
    ...Object.fromEntries(
      view.config.lists.map((list) => [`list/${list}`, async () => checkList(view, list, await look())]),
    ),
    lists: async () => checkNames(view, await look()),
    consumers: () => checkConsumers(view),
    'relay-id': () => checkRelayId(view),
    claims: () => checkClaims(view),
    parked: () => checkParked(view),
  }
}

/** An error is an answer as well, and the checks may say more. @throws what leaves nothing to ask: silence, or a refusal to let us in */
async function findRefusal({ ask }: SourceView): Promise<Diagnosis | undefined> {
  try {
    await ask('PING')
    return undefined
  } catch (error) {
    const fault = judgeRedis(error)
    if (!isAnswer(error) || fault.code === 'relay.redis.access_denied') throw error
    return fail(codeOf(fault), `${fault.says} (${oneLine(fault.words)})`, fault.fix)
  }
}

const judgeDelay = (ms: number): Diagnosis =>
  ms > SLOW_MS
    ? warn(
        'doctor.redis.slow',
        `Redis answers after ${ms} ms, which delays each claim`,
        'run the relay closer to the dialler',
      )
    : ok(`Redis answers after ${ms} ms`)

/** The same codes as in the relay's log. */
const codeOf = ({ code }: RedisFault) => `doctor.redis.${code.split('.')[2]}` as const

/** Why there is no connection. */
async function explainAbsence(source: SourceConfig, error: unknown): Promise<Diagnosis> {
  const { host } = new URL(source.url)
  const fault = await judgeConnection(error, source)
  const code = codeOf(fault)
  if (fault.code === 'relay.redis.no_secret')
    return fail(
      code,
      `the relay has no user or password for ${host}: ${fault.words}`,
      'create the file, and let the user that runs the relay read it: docs/relay.md, "TLS, users and passwords"',
    )
  if (/ECONNREFUSED/.test(fault.words))
    return fail(code, `nothing listens at ${host}`, 'start Redis there, or correct ENIGMA_SOURCES')
  if (fault.code === 'relay.redis.unreachable')
    return fail(
      code,
      `Redis at ${host} cannot be used: ${wordsOf(error)}`,
      `check that this host can reach it: ${redisCli(source)} PING`,
    )
  return fail(code, `Redis at ${host} cannot be used: ${fault.says} (${oneLine(fault.words)})`, fault.fix)
}

/** What could be done about a check that cannot be made. */
function explain(error: unknown): string | undefined {
  if (isDenied(error)) return 'allow this command for the user, if you want the check'
  if (isUnknown(error)) return 'remove rename-command of this command from redis.conf, if you want the check'
  return undefined
}
