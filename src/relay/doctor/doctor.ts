import type { Routes } from '../../protocol/index.ts'
import type { RelayConfig, SourceConfig } from '../config.ts'
import { redisCli } from '../redis/address.ts'
import { isAnswer, isDenied, isUnknown, judgeRedis, type RedisFault } from '../redis/advice.ts'
import { judgeConnection } from '../redis/redis-client.ts'
import { usesSqs } from '../targets/http/target-settings.ts'
import { createSourceView, fail, makeChecks, ok, warn, wordsOf, type Diagnosis, type Finding } from './check.ts'
import {
  checkChannels,
  checkConsumers,
  checkHeartbeat,
  checkList,
  checkNames,
  checkStates,
  readKeys,
} from './dialler-checks.ts'
import { checkDisk, checkFolder, checkJournal, checkNode, checkSecrets } from './machine-checks.ts'
import {
  checkClaims,
  checkIdentity,
  checkParked,
  checkRelayId,
  checkRights,
  checkMemory,
  checkOutputBuffer,
  checkPersistence,
  checkRole,
  checkVersion,
} from './redis-checks.ts'
import { checkProxy, examineSqs, examineTargets } from './target-checks.ts'

export type DoctorOptions = { readonly config: RelayConfig; readonly routes: Routes }

/**
 * Checks everything that a relay with this configuration needs, all of it at once, and yields the findings in the same order each time: the machine,
 * each source, SQS, each HTTP target. Takes nothing from a list, sends nothing except an empty batch to HTTP targets, and leaves no key and no file
 * behind.
 */
export async function* examine({ config, routes }: DoctorOptions): AsyncGenerator<Finding> {
  const others: Others = new Map(config.sources.map(({ id }) => [id, Promise.withResolvers()]))
  const parts = [
    makeChecks('machine', {
      node: () => checkNode(),
      folder: () => checkFolder(config),
      disk: () => checkDisk(config),
      journal: () => checkJournal(config),
    }),
    ...config.sources.map((source) => examineSource(source, config, Date.now, others)),
    ...(usesSqs(config.targets, routes)
      ? [makeChecks('sqs', { proxy: () => checkProxy(config) }), examineSqs(config, routes, Date.now)]
      : []),
    examineTargets(config, routes, Date.now),
  ]
  for (const part of parts) yield* await part
}

/** The run ids of the servers, which the checks of all sources share. */
type Others = Parameters<typeof checkIdentity>[1]

/** A claim needs three round trips: at this many ms each, an agent notices the delay of a call. */
const SLOW_MS = 200

/** Checks one Redis server of ENIGMA_SOURCES. Changes nothing there and takes nothing. Never throws. */
export async function examineSource(
  source: SourceConfig,
  config: RelayConfig,
  now: () => number,
  others: Others = new Map(),
): Promise<readonly Finding[]> {
  const part = `redis/${source.id}`
  const { open, close } = createSourceView(source, config, now)
  try {
    const view = await open()
    const from = performance.now()
    const refusal = await findRefusal(view.ask)
    const ms = Math.max(1, Math.round(performance.now() - from))
    const text = `Redis answers after ${ms} ms`
    const fix = 'run the relay closer to the dialler'
    const delay = ms > SLOW_MS ? warn('doctor.redis.slow', `${text}, which delays each claim`, fix) : ok(text)
    let reading: ReturnType<typeof readKeys> | undefined
    const keys = () => (reading ??= readKeys(view))
    const checks = {
      version: () => checkVersion(view),
      role: () => checkRole(view),
      source: () => checkIdentity(view, others),
      memory: () => checkMemory(view),
      persistence: () => checkPersistence(view),
      secrets: () => checkSecrets(view),
      rights: () => checkRights(view, false),
      'rights/optional': () => checkRights(view, true),
      heartbeat: () => checkHeartbeat(view),
      'output-buffer': () => checkOutputBuffer(view),
      channels: () => checkChannels(view),
      states: () => checkStates(view),
      ...Object.fromEntries(
        config.lists.map((list) => [`list/${list}`, async () => checkList(view, list, await keys())]),
      ),
      lists: async () => checkNames(view, await keys()),
      consumers: () => checkConsumers(view),
      'relay-id': () => checkRelayId(view),
      claims: () => checkClaims(view),
      parked: () => checkParked(view),
    }
    return [
      { check: `${part}/answer`, ...delay },
      ...(refusal === undefined ? [] : [{ check: `${part}/ping`, ...refusal }]),
      ...(await makeChecks(part, checks, explain)),
    ]
  } catch (error) {
    return [{ check: `${part}/answer`, ...(await explainAbsence(source, error)) }]
  } finally {
    // The checks of another source may wait for this source's run id, which is not known now.
    others.get(source.id)?.resolve(undefined)
    close()
  }
}

/**
 * Returns the error with which Redis answers PING. The other checks may still report more. @throws when nothing more can be asked: Redis does not
 * answer, or refuses the login
 */
async function findRefusal(ask: (command: string) => Promise<unknown>): Promise<Diagnosis | undefined> {
  try {
    await ask('PING')
    return undefined
  } catch (error) {
    const fault = judgeRedis(error)
    if (!isAnswer(error) || fault.code === 'relay.redis.access_denied') throw error
    return fail(codeOf(fault), `${fault.says} (${wordsOf(fault.words)})`, fault.fix)
  }
}

/** The same codes as in the relay's log. */
const codeOf = ({ code }: RedisFault) => `doctor.redis.${code.split('.')[2]}` as const

async function explainAbsence(source: SourceConfig, error: unknown): Promise<Diagnosis> {
  const { host } = new URL(source.url)
  const fault = await judgeConnection(error, source)
  const code = codeOf(fault)
  const create =
    'write the file, and let the user that runs the relay read it: docs/relay.md, "TLS, users and passwords"'
  if (fault.code === 'relay.redis.no_secret')
    return fail(code, `the relay has no user or password for ${host}: ${fault.words}`, create)
  if (/ECONNREFUSED/.test(fault.words))
    return fail(code, `nothing listens at ${host}`, 'start Redis there, or correct ENIGMA_SOURCES')
  const unusable = `Redis at ${host} cannot be used`
  if (fault.code === 'relay.redis.unreachable')
    return fail(code, `${unusable}: ${wordsOf(error)}`, `check that this host can reach it: ${redisCli(source)} PING`)
  return fail(code, `${unusable}: ${fault.says} (${wordsOf(fault.words)})`, fault.fix)
}

function explain(error: unknown): string | undefined {
  if (isDenied(error)) return 'allow this command for the user to enable this check'
  if (isUnknown(error)) return 'remove the rename-command line of this command from redis.conf to enable this check'
  return undefined
}
