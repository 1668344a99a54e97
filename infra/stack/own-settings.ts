import type { FunctionSettings } from '../../functions/settings.ts'
import { ROUTES } from '../../src/protocol/index.ts'
import { PARAMETER_VARIABLES } from './names.ts'

export type OwnSettings = Readonly<Record<string, FunctionSettings>>

/** One request to Parameter Store asks for ten, of which two are the read model's. Source: GetParameters in the Systems Manager API reference. */
const MOST_PARAMETERS = 8

/** What the stack, the runtime or AWS sets itself. */
const RESERVED = /^(AWS_|LAMBDA_|ENIGMA_|NODE_OPTIONS$|.*_PARAMETER$)/

/** What is wrong with functions/settings.ts, each with what to write instead. */
export function* checkOwnSettings(settings: OwnSettings): Generator<string> {
  for (const [route, { variables = {}, parameters = [] }] of Object.entries(settings)) {
    const at = `functions/settings.ts, "${route}"`
    if (!ROUTES.some(({ name }) => name === route))
      yield `${at}: the route does not exist; write one of ${ROUTES.map(({ name }) => name).join(', ')}`
    for (const name of [...Object.keys(variables), ...parameters]) {
      const isTaken = RESERVED.test(name) || PARAMETER_VARIABLES.some((one) => one === name)
      if (!/^[A-Z][A-Z0-9_]*$/.test(name) || isTaken)
        yield `${at}: "${name}" ${isTaken ? 'is set by the stack or by AWS' : 'is not a valid variable name'}; write one such as CRM_URL`
    }
    const twice = parameters.find((name, index) => name in variables || parameters.indexOf(name) !== index)
    if (twice !== undefined) yield `${at}: "${twice}" appears twice; write it once`
    if (parameters.length > MOST_PARAMETERS)
      yield `${at}: ${parameters.length} parameters; write at most ${MOST_PARAMETERS}`
  }
}

/** All of the stack's own parameters, and those of functions/settings.ts, each once. */
export const allParameters = (settings: OwnSettings): string[] => [
  ...new Set([...PARAMETER_VARIABLES, ...Object.values(settings).flatMap(({ parameters = [] }) => parameters)]),
]
