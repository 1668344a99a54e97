import { appFile, readDeclarations } from '../../src/lambda/declarations.ts'
import { createRoutes, OTHER, type Needs, type Route } from '../../src/protocol/index.ts'
import { FunctionsError } from '../../src/settings/index.ts'
import { DeployError } from '../deploy-error.ts'

/** Returns the name of a stack: its prefix without the dash at its end. */
export const stackName = (prefix: string): string => prefix.replace(/-$/, '')

/** Returns the start of the logical names of a route's resources: `campaigns`, `dial_preview` → `CampaignsDialPreview`. */
export const logicalName = (route: Route): string =>
  route.name === OTHER.name
    ? 'Other'
    : `${route.type}_${route.subType}`.replace(/(?:^|[_-])([A-Za-z0-9])/g, (_, letter: string) => letter.toUpperCase())

/** Returns the key of a function in serverless.yml, from which the framework makes `<LogicalName>LambdaFunction`. */
export const functionKey = (route: Route): string => logicalName(route).replace(/^./, (letter) => letter.toLowerCase())

/** Returns the name of a function in Lambda. */
export const functionName = (prefix: string, route: Route): string => prefix + route.name

/** The key and the bundle name of the API's function. */
export const API = 'api'

/** The key of the function that streams changes. It uses the bundle of the API. */
export const EVENTS = 'events'

/** The logical name of the queue of commands to the relays. */
export const COMMANDS = 'RelayCommandsQueue'

/** The variables whose values are in Parameter Store. */
export const PARAMETER_VARIABLES = [
  'UPSTASH_REDIS_REST_URL',
  'UPSTASH_REDIS_REST_TOKEN',
  'API_TOKEN',
  'API_TOKENS',
] as const

/** At least one of these must be set. */
export const TOKEN_PARAMETERS: readonly string[] = ['API_TOKEN', 'API_TOKENS'] satisfies ParameterVariable[]

export type ParameterVariable = (typeof PARAMETER_VARIABLES)[number]

/** The parameters of the functions behind queues. */
export const STORE_PARAMETERS: readonly ParameterVariable[] = ['UPSTASH_REDIS_REST_URL', 'UPSTASH_REDIS_REST_TOKEN']

/** `UPSTASH_REDIS_REST_URL` → `/enigma-prod/upstash-redis-rest-url` */
export const parameterName = (prefix: string, variable: string): string =>
  `/${stackName(prefix)}/${variable.toLowerCase().replaceAll('_', '-')}`

/** A resource of a CloudFormation template. */
export type Resource = {
  readonly Type: string
  readonly Properties: Readonly<Record<string, unknown>>
  readonly DeletionPolicy?: 'RetainExceptOnCreate' | 'Delete'
  readonly UpdateReplacePolicy?: 'Retain' | 'Delete'
  readonly DependsOn?: readonly string[]
}

export type Resources = Readonly<Record<string, Resource>>

export const ref = (logicalId: string) => ({ Ref: logicalId })
export const arnOf = (logicalId: string) => ({ 'Fn::GetAtt': [logicalId, 'Arn'] })

/** Returns an ARN in the account and the region of the stack, such as `ownArn('logs', 'log-group:…')`. */
export const ownArn = (service: string, rest: string) => ({
  'Fn::Sub': `arn:\${AWS::Partition}:${service}:\${AWS::Region}:\${AWS::AccountId}:${rest}`,
})

/**
 * Returns the policies for a resource with data, for when its stack is removed or the resource is replaced.
 * Source: "DeletionPolicy attribute" in the CloudFormation template reference.
 */
export const kept = (keep: boolean) => {
  // The rollback of a failed deployment removes its new resources. If they stayed, the next attempt could not create them.
  const policy = keep ? ('RetainExceptOnCreate' as const) : ('Delete' as const)
  // A resource that is replaced under another name is always kept, because it may contain messages.
  return { DeletionPolicy: policy, UpdateReplacePolicy: 'Retain' as const }
}

/** A route, with the needs of its function besides its queue and the read model. */
export type StackRoute = Route & Needs

/** The maximum number of secrets of a route. A request to Parameter Store may name ten parameters, of which two are the read model's. Source: GetParameters in the Systems Manager API reference. */
const MAX_SECRETS = 8

/** Variables that the stack, the runtime or AWS sets. */
const RESERVED = /^(AWS_|LAMBDA_|ENIGMA_|NODE_OPTIONS$|.*_PARAMETER$)/

/** Returns the faults in a route's needs, each with its fix. */
function* faultsOfNeeds({ variables = {}, secrets = [], statements = [], vpc }: Needs): Generator<string> {
  for (const name of [...Object.keys(variables), ...secrets]) {
    const isTaken = RESERVED.test(name) || PARAMETER_VARIABLES.some((one) => one === name)
    if (!/^[A-Z][A-Z0-9_]*$/.test(name) || isTaken)
      yield `"${name}" ${isTaken ? 'is set by the stack or by AWS' : 'is not a valid variable name'}; write one such as CRM_URL`
  }
  const twice = secrets.find((name, index) => name in variables || secrets.indexOf(name) !== index)
  if (twice !== undefined) yield `"${twice}" appears twice; write it once`
  if (secrets.length > MAX_SECRETS) yield `there are ${secrets.length} secrets; write at most ${MAX_SECRETS}`
  for (const { actions, resources } of statements) {
    const action = actions.find((one) => !/^[a-z0-9-]+:[A-Za-z0-9*]+$/.test(one))
    if (action !== undefined || actions.length === 0)
      yield `the action "${action ?? ''}" of a statement is not an AWS action; write one such as sns:Publish`
    const resource = resources.find((one) => one !== '*' && !one.startsWith('arn:'))
    if (resource !== undefined || resources.length === 0)
      yield `the resource "${resource ?? ''}" of a statement is not an ARN; write one such as arn:aws:sns:eu-west-1:111122223333:pops`
  }
  const { subnetIds = [], securityGroupIds = [] } = vpc ?? {}
  if (vpc !== undefined && (subnetIds.length === 0 || securityGroupIds.length === 0))
    yield 'vpc needs at least one subnet and one security group'
}

/** Checks declarations and returns all routes of their stack. @throws DeployError `deploy.routes.invalid` with every fault on a line of its own */
export function toStackRoutes(declared: readonly StackRoute[]): readonly StackRoute[] {
  const faults = declared.flatMap((route) => [...faultsOfNeeds(route)].map((fault) => `${appFile(route)}: ${fault}`))
  if (faults.length > 0) throw new DeployError('deploy.routes.invalid', faults.join('\n'))
  return createRoutes(declared).all
}

/** Reads the routes that `functions/` declares. @throws DeployError `deploy.routes.invalid` with every fault on a line of its own */
export async function readStackRoutes(): Promise<readonly StackRoute[]> {
  try {
    return toStackRoutes(await readDeclarations())
  } catch (error) {
    if (!(error instanceof FunctionsError)) throw error
    throw new DeployError('deploy.routes.invalid', error.message, { cause: error })
  }
}

/** Returns all secrets of a stack, each once: its own parameters and those of its routes. */
export const allSecrets = (routes: readonly StackRoute[]): string[] => [
  ...new Set([...PARAMETER_VARIABLES, ...routes.flatMap(({ secrets = [] }) => secrets)]),
]
