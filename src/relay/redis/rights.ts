import { randomUUID } from 'node:crypto'
import { ErrorReply } from 'redis'
import type { RelayConfig, SourceConfig } from '../config.ts'
import { describe, RelayError } from '../relay-error.ts'
import { redisCli, userOf } from './address.ts'
import { isDenied, isUnknown } from './advice.ts'
import { shareRuns, type Redis } from './redis-client.ts'
import { claimPrefix, RELAY_PREFIX, waitingKey, scripts } from './relay-keys.ts'

/**
 * A command that the relay runs, in a form that changes nothing: with a text in place of a number, or a key that does not exist. Redis checks rights
 * before arguments.
 */
export type Need = {
  readonly command: readonly string[]
  /** `lists`: needed to consume lists. `figures`: without it the relay runs, but reports fewer metrics. */
  readonly of: 'lists' | 'relay' | 'figures'
}

/** A command that Redis refuses, or does not have. */
export type Refusal = Need & { readonly error: unknown }

/** A text in place of a number, so that Redis refuses the arguments. */
const NONE = 'x'

/** Commands on the relay's own keys. KEY is a key that does not exist. */
const ON_OWN_KEY =
  'GET KEY, SET KEY 1 EX x, PSETEX KEY x 1, EXISTS KEY, DEL KEY, LLEN KEY, LRANGE KEY x x, LINDEX KEY x, HGET KEY f, HSET KEY f 1 g, ' +
  'HDEL KEY f, HKEYS KEY, HGETALL KEY, HEXISTS KEY f, SMEMBERS KEY, ZADD KEY x m, ZREM KEY m, ZRANGE KEY x x, ZSCORE KEY m'

/** Lists all commands of `src/relay`, including those inside its scripts: Redis checks the right to each of them. */
export function listNeeds({ lists, listEnd, relayId }: RelayConfig, ownKey: string): Need[] {
  const need = (...command: string[]): Need => ({ command, of: 'lists' })
  const relay = (...command: string[]): Need => ({ command, of: 'relay' })
  const figures = (...command: string[]): Need => ({ command, of: 'figures' })
  const claim = `${claimPrefix(relayId)}0:doctor`
  return [
    relay('PING'),
    need('EVAL', 'return 1', '0'),
    need('EVALSHA', 'f'.repeat(40), '0'),
    ...lists.flatMap((list) => [
      need('LLEN', list),
      need('LRANGE', list, NONE, NONE),
      need('LTRIM', list, NONE, NONE),
      // Without a valid time limit, these commands do not block.
      listEnd === 'right'
        ? need('BRPOPLPUSH', list, waitingKey(relayId, list), NONE)
        : need('BLMOVE', list, waitingKey(relayId, list), 'LEFT', 'LEFT', NONE),
    ]),
    ...ON_OWN_KEY.split(', ').map((text) => need(...text.split(' ').map((word) => (word === 'KEY' ? ownKey : word)))),
    need('RENAME', claim, ownKey),
    relay('ZCOUNT', ownKey, NONE, NONE),
    relay('PUBLISH', `${RELAY_PREFIX}heartbeat:doctor`, ''),
    figures('TYPE', ownKey),
    figures('INFO', 'server'),
    figures('CLIENT', 'ID'),
    figures('CLIENT', 'LIST'),
    figures('CONFIG', 'GET', 'client-output-buffer-limit'),
  ]
}

/** Commands that have no form without effect. */
const writeNeeds = (ownKey: string): readonly Need[] =>
  ['RPUSH', 'SADD'].map((name) => ({ command: [name, ownKey, '1'], of: 'lists' }))

/** Returns the name of a command: `LTRIM`, `CLIENT LIST`. */
const commandName = ([first = '', second = '']: readonly string[]): string =>
  first === 'CLIENT' || first === 'CONFIG' ? `${first} ${second}` : first

/** Counts the different commands among these needs. */
export const countCommands = (config: RelayConfig, of: (need: Need) => boolean): number =>
  new Set([...listNeeds(config, ''), ...writeNeeds('')].filter(of).map(({ command }) => commandName(command))).size

type FindRefusalsOptions = {
  readonly config: RelayConfig
  /** Runs a command. @throws what Redis answers */
  readonly give: (command: readonly string[]) => Promise<unknown>
  /** Selects the needs to check. Default: all. */
  readonly of?: (need: Need) => boolean
  /** Whether nobody else uses the connection, so that a transaction delays no other commands. */
  readonly isOwn: boolean
}

/**
 * Finds the commands that the relay needs and that Redis refuses to this user, or does not have. Runs each in a form that changes nothing. Any other
 * answer proves the right, for example that of a full server or a replica. @throws what the connection throws
 */
export async function findRefusals({ config, give, of = () => true, isOwn }: FindRefusalsOptions): Promise<Refusal[]> {
  const ownKey = `${RELAY_PREFIX}doctor:${randomUUID()}`
  const refused = async (need: Need, given: Promise<unknown>): Promise<Refusal[]> => {
    try {
      await given
    } catch (error) {
      if (isDenied(error) || isUnknown(error)) return [{ ...need, error }]
      // Redis answered with another error, so it has checked the rights.
      if (!(error instanceof ErrorReply)) throw error
    }
    return []
  }
  const findIn = async (needs: readonly Need[], toCommand: (need: Need) => readonly string[]): Promise<Refusal[]> =>
    (await Promise.all(needs.map((need) => refused(need, give(toCommand(need)))))).flat()
  const writes = writeNeeds(ownKey).filter(of)
  const refusals = await findIn(listNeeds(config, ownKey).filter(of), ({ command }) => command)
  if (isOwn && (await begins(give))) {
    // Redis checks the right when it queues a command, and a discarded transaction has no effect.
    refusals.push(...(await findIn(writes, ({ command }) => command)))
    await give(['DISCARD'])
  } else if (!refusals.some(({ command: [name] }) => name === 'EVAL' || name === 'DEL')) {
    const script = ['EVAL', scripts.tryWrite.SCRIPT, '1', ownKey]
    refusals.push(...(await findIn(writes, ({ command: [name = ''] }) => [...script, name])))
  }
  return refusals
}

const begins = (give: FindRefusalsOptions['give']): Promise<boolean> =>
  give(['MULTI']).then(
    () => true,
    (error: unknown) => {
      if (isDenied(error) || isUnknown(error)) return false
      throw error
    },
  )

/** Whether Redis refuses the key and not the command. Source: ACL_DENIED_KEY in Redis' acl.c, 6.0 to 8. */
const isKeyDenied = ({ error }: Refusal) =>
  /access (one of the keys|a key|at least one)|can't access/i.test(describe(error))

/** Formats refusals: `the user relay may not run LTRIM; Redis does not have BRPOPLPUSH` */
export function sayRefusals(refusals: readonly Refusal[], user: string): string {
  const kindOf = (one: Refusal) => (isUnknown(one.error) ? 'unknown' : isKeyDenied(one) ? 'key' : 'command')
  const { command, key, unknown } = Object.groupBy(refusals, kindOf)
  const say = (words: string, some: readonly Refusal[] | undefined, name: (one: Refusal) => string) =>
    some === undefined ? [] : [`${words} ${[...new Set(some.map(name))].join(', ')}`]
  return [
    ...say(`the user ${user} may not run`, command, commandOf),
    ...say(`the user ${user} may not access the keys`, key, keyPattern),
    ...say('Redis does not have', unknown, commandOf),
  ].join('; ')
}

const commandOf = ({ command }: Refusal) => commandName(command)
const keyPattern = ({ command: [, key = ''] }: Refusal) => (key.startsWith(RELAY_PREFIX) ? `${RELAY_PREFIX}*` : key)

/** Returns the command that grants the rights (`ACL SETUSER relay +ltrim ~enigma:*`), or the change of redis.conf for renamed commands. */
export function mendRefusals(refusals: readonly Refusal[], user: string, cli: (command: string) => string): string {
  const grant = (one: Refusal) =>
    isKeyDenied(one) ? `~${keyPattern(one)}` : `+${commandOf(one).toLowerCase().replace(' ', '|')}`
  const granted = new Set(refusals.filter(({ error }) => isDenied(error)).map(grant))
  if (granted.size > 0) return cli(`ACL SETUSER ${user} ${[...granted].join(' ')}`)
  const names = new Set(refusals.map(({ command: [name] }) => name))
  return `remove the rename-command lines of ${[...names].join(', ')} from redis.conf and restart Redis`
}

/**
 * Creates the check of every right that consuming lists needs, before anything is taken: Redis does not roll back a script that is refused a command
 * in the middle. Concurrent calls share one check.
 */
export function createRightsGate(client: Redis, config: RelayConfig, source: SourceConfig) {
  const give = (command: readonly string[]) => client.sendCommand<unknown>([...command])
  return {
    /** @throws RelayError `relay.redis.no_permission`, which names the missing rights, or what the connection throws */
    pass: shareRuns(async () => {
      const refusals = await findRefusals({ config, give, of: (need) => need.of === 'lists', isOwn: false })
      if (refusals.length === 0) return
      const user = userOf(source)
      throw new RelayError('relay.redis.no_permission', sayRefusals(refusals, user), {
        fix: mendRefusals(refusals, user, (command) => `${redisCli(source)} ${command}`),
      })
    }),
  }
}
