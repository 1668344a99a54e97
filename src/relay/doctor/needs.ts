import type { RelayConfig } from '../config.ts'
import { claimPrefix, RELAY_PREFIX, waitingKey } from '../keys.ts'

/**
 * A command that the relay gives, in a form that changes nothing whoever is allowed to give it: a number that is none, a key that is
 * not there. Redis looks at rights before it looks at arguments.
 */
export type Need = { readonly command: readonly string[]; readonly isOptional?: true }

/** Where a number belongs. */
const NONE = 'x'

/** All commands of `src/relay`, those inside its scripts included: Redis asks for the right to each of them. */
export function listNeeds({ lists, listEnd, relayId }: RelayConfig, ownKey: string): Need[] {
  const need = (...command: string[]): Need => ({ command })
  const optional = (...command: string[]): Need => ({ command, isOptional: true })
  const claim = `${claimPrefix(relayId)}0:doctor`
  return [
    need('PING'),
    need('EVAL', 'return 1', '0'),
    need('EVALSHA', 'f'.repeat(40), '0'),
    ...lists.flatMap((list) => [
      need('LLEN', list),
      need('LRANGE', list, NONE, NONE),
      need('LTRIM', list, NONE, NONE),
      // Without a time they do not begin to wait.
      listEnd === 'right'
        ? need('BRPOPLPUSH', list, waitingKey(relayId, list), NONE)
        : need('BLMOVE', list, waitingKey(relayId, list), 'LEFT', 'LEFT', NONE),
    ]),
    need('GET', ownKey),
    need('SET', ownKey, '1', 'EX', NONE),
    need('PSETEX', ownKey, NONE, '1'),
    need('PEXPIRE', ownKey, NONE),
    need('EXISTS', ownKey),
    need('DEL', ownKey),
    need('RENAME', claim, ownKey),
    need('LLEN', ownKey),
    need('LRANGE', ownKey, NONE, NONE),
    need('HGET', ownKey, 'f'),
    need('HSET', ownKey, 'f', '1', 'g'),
    need('HDEL', ownKey, 'f'),
    need('HKEYS', ownKey),
    need('HGETALL', ownKey),
    need('HEXISTS', ownKey, 'f'),
    need('SMEMBERS', ownKey),
    need('ZADD', ownKey, NONE, 'm'),
    need('ZREM', ownKey, 'm'),
    need('ZRANGE', ownKey, NONE, NONE),
    need('ZCOUNT', ownKey, NONE, NONE),
    need('ZSCORE', ownKey, 'm'),
    need('PUBLISH', `${RELAY_PREFIX}heartbeat:doctor`, ''),
    optional('TYPE', ownKey),
    optional('INFO', 'server'),
    optional('CLIENT', 'ID'),
    optional('CLIENT', 'LIST'),
    optional('CONFIG', 'GET', 'client-output-buffer-limit'),
  ]
}

/** What has no form without effect. */
export const writeNeeds = (ownKey: string): readonly Need[] => [
  { command: ['RPUSH', ownKey, '1'] },
  { command: ['SADD', ownKey, '1'] },
]

/** `LTRIM`, `CLIENT LIST`: what a command is called. */
export const commandName = ([first = '', second = '']: readonly string[]): string =>
  first === 'CLIENT' || first === 'CONFIG' ? `${first} ${second}` : first
