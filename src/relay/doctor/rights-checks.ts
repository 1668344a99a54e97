import { looseSecrets } from '../redis/address.ts'
import { countCommands, findRefusals, mendRefusals, sayRefusals, type Need } from '../redis/rights.ts'
import { fail, inTime, ok, warn, type Diagnosis } from './check.ts'
import type { SourceView } from './source-view.ts'

/** Without these the relay goes on, and tells less. */
const isOptional = ({ of }: Need): boolean => of === 'figures'
const isNeeded = (need: Need): boolean => !isOptional(need)

/** Whether the user may do all that the relay cannot do without. */
export async function checkRights({ config, connect, user, cli }: SourceView): Promise<Diagnosis> {
  const connection = await connect()
  const give = (command: readonly string[]) => inTime(connection.sendCommand<unknown>([...command]))
  const refusals = await findRefusals({ config, give, of: isNeeded, isOwn: true })
  const name = await user()
  if (refusals.length > 0)
    return fail('doctor.rights.missing', sayRefusals(refusals, name), mendRefusals(refusals, name, cli))
  return ok(`the user ${name} may run all ${countCommands(config, isNeeded)} commands that the relay needs`)
}

/** Whether the user may do what only figures need; says nothing when all is there. */
export async function checkOptionalRights({ config, ask, user, cli }: SourceView): Promise<Diagnosis[]> {
  const refusals = await findRefusals({
    config,
    give: (command) => ask(...command),
    of: isOptional,
    isOwn: false,
  })
  if (refusals.length === 0) return []
  const name = await user()
  return [
    warn(
      'doctor.rights.optional_missing',
      `${sayRefusals(refusals, name)}; the relay runs without them, but reports fewer metrics`,
      mendRefusals(refusals, name, cli),
    ),
  ]
}

/** Whether others of this host can read the files with user, password and keys; says nothing when there are none. */
export function checkSecrets({ source }: SourceView): Diagnosis[] {
  if (source.passwordFile === undefined && source.keyFile === undefined) return []
  const loose = looseSecrets(source)
  return loose.length === 0
    ? [ok('only their owner can read the user, password and key files')]
    : [
        warn(
          'doctor.secrets.readable',
          `every user of this host can read ${loose.join(', ')}`,
          `chmod 600 ${loose.join(' ')}`,
        ),
      ]
}
