import { appFile, readDeclarations } from '../../src/lambda/declarations.ts'
import { FunctionsError } from '../../src/settings/function-error.ts'
import { createRoutes, type Needs, type Route } from '../../src/protocol/index.ts'
import { DeployError } from '../deploy-error.ts'
import { PARAMETER_VARIABLES } from './names.ts'

/** A route, with what its function needs besides its queue and the read model. */
export type StackRoute = Route & Needs

/** One request to Parameter Store asks for ten, of which two are the read model's. Source: GetParameters in the Systems Manager API reference. */
const MOST_SECRETS = 8

/** What the stack, the runtime or AWS sets itself. */
const RESERVED = /^(AWS_|LAMBDA_|ENIGMA_|NODE_OPTIONS$|.*_PARAMETER$)/

/** What is wrong with what a route's function needs, each with what to write instead. */
function* faultsOfNeeds({ variables = {}, secrets = [], statements = [], vpc }: Needs): Generator<string> {
  for (const name of [...Object.keys(variables), ...secrets]) {
    const isTaken = RESERVED.test(name) || PARAMETER_VARIABLES.some((one) => one === name)
    if (!/^[A-Z][A-Z0-9_]*$/.test(name) || isTaken)
      yield `"${name}" ${isTaken ? 'is set by the stack or by AWS' : 'is not a valid variable name'}; write one such as CRM_URL`
  }
  const twice = secrets.find((name, index) => name in variables || secrets.indexOf(name) !== index)
  if (twice !== undefined) yield `"${twice}" appears twice; write it once`
  if (secrets.length > MOST_SECRETS) yield `${secrets.length} secrets; write at most ${MOST_SECRETS}`
  for (const { actions, resources } of statements) {
    const action = actions.find((one) => !/^[a-z0-9-]+:[A-Za-z0-9*]+$/.test(one))
    if (action !== undefined || actions.length === 0)
      yield `the action "${action ?? ''}" of a statement is none of AWS; write one such as sns:Publish`
    const resource = resources.find((one) => one !== '*' && !one.startsWith('arn:'))
    if (resource !== undefined || resources.length === 0)
      yield `the resource "${resource ?? ''}" of a statement is no ARN; write one such as arn:aws:sns:eu-west-1:111122223333:pops`
  }
  const { subnetIds = [], securityGroupIds = [] } = vpc ?? {}
  if (vpc !== undefined && (subnetIds.length === 0 || securityGroupIds.length === 0))
    yield 'vpc needs at least one subnet and one security group'
}

/** All routes of a stack with these declarations. @throws DeployError `deploy.routes.invalid` with every fault, one a line */
export function toStackRoutes(declared: readonly StackRoute[]): readonly StackRoute[] {
  const faults = declared.flatMap((route) => [...faultsOfNeeds(route)].map((fault) => `${appFile(route)}: ${fault}`))
  if (faults.length > 0) throw new DeployError('deploy.routes.invalid', faults.join('\n'))
  return createRoutes(declared).all
}

/** The routes of the stack that `functions/` makes. @throws DeployError `deploy.routes.invalid` with every fault, one a line */
export async function readStackRoutes(): Promise<readonly StackRoute[]> {
  try {
    return toStackRoutes(await readDeclarations())
  } catch (error) {
    if (!(error instanceof FunctionsError)) throw error
    throw new DeployError('deploy.routes.invalid', error.message, { cause: error })
  }
}

/** All secrets of a stack, each once: its own parameters and those of its routes. */
export const allSecrets = (routes: readonly StackRoute[]): string[] => [
  ...new Set([...PARAMETER_VARIABLES, ...routes.flatMap(({ secrets = [] }) => secrets)]),
]
