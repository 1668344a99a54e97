import { randomUUID } from 'node:crypto'
import { ErrorReply } from 'redis'
import { describe } from '../errors.ts'
import { RELAY_PREFIX } from '../keys.ts'
import type { Redis } from '../redis.ts'
import { within } from './check.ts'
import { fail, ok, warn, type Finding } from './finding.ts'
import { commandName, listNeeds, writeNeeds, type Need } from './needs.ts'
import { ANSWER_MS, type SourceView } from './source-view.ts'
import { isDenied, isUnknown } from './words-of.ts'

type Refusal = Need & { readonly error: unknown }

// What has no form without effect is tried on a key of the doctor's own, and taken back in the same step.
const TRY_AND_TAKE_BACK = `
local reply = redis.pcall(ARGV[1], KEYS[1], ARGV[2])
redis.call('DEL', KEYS[1])
if type(reply) == 'table' and reply.err then return redis.error_reply(reply.err) end
return 1
`

/**
 * Whether the user may do all that the relay does. Every command is given in a form that changes nothing; any answer but a refusal for
 * want of rights (a full server's, a replica's) proves the right.
 *
 * @param connection of its own: a transaction on it holds back nobody else's commands
 */
export async function checkRights(
  { name, config, cli, user: askUser }: SourceView,
  connection: Redis,
): Promise<Finding[]> {
  const ownKey = `${RELAY_PREFIX}doctor:${randomUUID()}`
  const give = (command: readonly string[]): Promise<unknown> =>
    within(ANSWER_MS, connection.sendCommand<unknown>([...command]))
  const refused = async (need: Need, given: Promise<unknown>): Promise<Refusal[]> => {
    try {
      await given
    } catch (error) {
      if (isDenied(error) || isUnknown(error)) return [{ ...need, error }]
      // Redis has answered, so it looked at the rights before.
      if (!(error instanceof ErrorReply)) throw error
    }
    return []
  }

  const needs = listNeeds(config, ownKey)
  const refusals = (await Promise.all(needs.map((need) => refused(need, give(need.command))))).flat()
  const writes = writeNeeds(ownKey)
  if (await begins(give)) {
    // A right is asked for when a command is put into a transaction, and nothing of one that is discarded happens.
    const queued = await Promise.all(writes.map((need) => refused(need, give(need.command))))
    await give(['DISCARD'])
    refusals.push(...queued.flat())
  } else if (!refusals.some(({ command }) => command[0] === 'EVAL' || command[0] === 'DEL')) {
    const tried = await Promise.all(
      writes.map((need) => refused(need, give(['EVAL', TRY_AND_TAKE_BACK, '1', ownKey, need.command[0] ?? '', '1']))),
    )
    refusals.push(...tried.flat())
  }

  const user = await askUser()
  const [lacking, lackingOptional] = [
    refusals.filter((one) => one.isOptional !== true),
    refusals.filter((one) => one.isOptional === true),
  ]
  const check = name('rights')
  const count = new Set(
    [...needs, ...writes].filter((one) => one.isOptional !== true).map(({ command }) => commandName(command)),
  ).size
  return [
    lacking.length === 0
      ? ok(check, `the user ${user} may all ${count} commands that the relay needs`)
      : fail(check, 'doctor.rights.missing', sayLacking(lacking, user), mend(lacking, user, cli)),
    ...(lackingOptional.length === 0
      ? []
      : [
          warn(
            name('rights/optional'),
            'doctor.rights.optional_missing',
            `${sayLacking(lackingOptional, user)}; the relay goes on without, and tells less`,
            mend(lackingOptional, user, cli),
          ),
        ]),
  ]
}

const begins = (give: (command: readonly string[]) => Promise<unknown>): Promise<boolean> =>
  give(['MULTI']).then(
    () => true,
    (error: unknown) => {
      if (isDenied(error) || isUnknown(error)) return false
      throw error
    },
  )

/** What Redis says when it is not the command that is refused, but the key. Source: ACL_DENIED_KEY in Redis' acl.c, 6.0 to 7.2. */
const isKeyDenied = ({ error }: Refusal) => /access (one of the keys|a key)|can't access/i.test(describe(error))

function sayLacking(refusals: readonly Refusal[], user: string): string {
  const names = (some: readonly Refusal[], say: (one: Refusal) => string) => [...new Set(some.map(say))].join(', ')
  const unknown = refusals.filter(({ error }) => isUnknown(error))
  const keys = refusals.filter(isKeyDenied)
  const commands = refusals.filter((one) => !unknown.includes(one) && !keys.includes(one))
  return [
    ...(commands.length > 0
      ? [`the user ${user} may not ${names(commands, ({ command }) => commandName(command))}`]
      : []),
    ...(keys.length > 0 ? [`the user ${user} may not use the keys ${names(keys, keyPattern)}`] : []),
    ...(unknown.length > 0 ? [`Redis does not have ${names(unknown, ({ command }) => commandName(command))}`] : []),
  ].join('; ')
}

const keyPattern = ({ command: [, key = ''] }: Refusal) => (key.startsWith(RELAY_PREFIX) ? `${RELAY_PREFIX}*` : key)

/** `ACL SETUSER relay +ltrim ~enigma:*`; what is renamed away is given back in the server's configuration. */
function mend(refusals: readonly Refusal[], user: string, cli: SourceView['cli']): string {
  const granted = new Set(
    refusals
      .filter(({ error }) => isDenied(error))
      .map((one) =>
        isKeyDenied(one) ? `~${keyPattern(one)}` : `+${commandName(one.command).toLowerCase().replace(' ', '|')}`,
      ),
  )
  if (granted.size > 0) return cli(`ACL SETUSER ${user} ${[...granted].join(' ')}`)
  const names = new Set(refusals.map(({ command }) => commandName(command).split(' ')[0]))
  return `take the lines rename-command ${[...names].join(', ')} out of redis.conf and start Redis again`
}
