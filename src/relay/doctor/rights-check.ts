import { within } from './check.ts'
import type { Redis } from '../redis/client.ts'
import { commandName, findRefusals, listNeeds, mendRefusals, sayRefusals } from '../redis/rights.ts'
import { fail, ok, warn, type Finding } from './finding.ts'
import { ANSWER_MS, type SourceView } from './source-view.ts'

/**
 * Whether the user may do all that the relay does.
 *
 * @param connection of its own: a transaction on it holds back nobody else's commands
 */
export async function checkRights(
  { name, config, cli, user: askUser }: SourceView,
  connection: Redis,
): Promise<Finding[]> {
  const give = (command: readonly string[]): Promise<unknown> =>
    within(ANSWER_MS, connection.sendCommand<unknown>([...command]))
  const refusals = await findRefusals({ config, give, isOwn: true })
  const user = await askUser()
  const [lacking, lackingOptional] = [
    refusals.filter((one) => one.of !== 'figures'),
    refusals.filter((one) => one.of === 'figures'),
  ]
  const check = name('rights')
  const count = new Set([
    ...listNeeds(config, '')
      .filter((one) => one.of !== 'figures')
      .map(({ command }) => commandName(command)),
    'RPUSH',
    'SADD',
  ]).size
  return [
    lacking.length === 0
      ? ok(check, `the user ${user} may run all ${count} commands that the relay needs`)
      : fail(check, 'doctor.rights.missing', sayRefusals(lacking, user), mendRefusals(lacking, user, cli)),
    ...(lackingOptional.length === 0
      ? []
      : [
          warn(
            name('rights/optional'),
            'doctor.rights.optional_missing',
            `${sayRefusals(lackingOptional, user)}; the relay runs without them, but reports fewer metrics`,
            mendRefusals(lackingOptional, user, cli),
          ),
        ]),
  ]
}
