import { OTHER, type Route } from '../../src/protocol/index.ts'

/** The name of a stack: its prefix without the dash at its end. */
export const stackName = (prefix: string): string => prefix.replace(/-$/, '')

/** `campaigns`, `dial_preview` → `CampaignsDialPreview`: what the parts of a route are called in the template. */
export const logicalName = (route: Route): string =>
  route.name === OTHER.name
    ? 'Other'
    : `${route.type}_${route.subType}`.replace(/(?:^|[_-])([A-Za-z0-9])/g, (_, letter: string) => letter.toUpperCase())

/** The same as the key of a function in serverless.yml, which the framework turns into `<LogicalName>LambdaFunction`. */
export const functionKey = (route: Route): string => logicalName(route).replace(/^./, (letter) => letter.toLowerCase())

/** As Lambda calls it. */
export const functionName = (prefix: string, route: Route): string => prefix + route.name

/** The key and the bundle of the read API. */
export const API = 'api'

/** The key of the function that streams changes. Its bundle is that of the API. */
export const EVENTS = 'events'

/** The logical name of the queue of commands to the relays. */
export const COMMANDS = 'RelayCommandsQueue'

/** What is kept in Parameter Store, by the variable that is made of it. */
export const PARAMETER_VARIABLES = [
  'UPSTASH_REDIS_REST_URL',
  'UPSTASH_REDIS_REST_TOKEN',
  'API_TOKEN',
  'API_TOKENS',
] as const

/** Of these, one is enough. */
export const TOKEN_PARAMETERS: readonly string[] = ['API_TOKEN', 'API_TOKENS'] satisfies ParameterVariable[]

export type ParameterVariable = (typeof PARAMETER_VARIABLES)[number]

/** The parameters of the functions behind queues. */
export const STORE_PARAMETERS: readonly ParameterVariable[] = ['UPSTASH_REDIS_REST_URL', 'UPSTASH_REDIS_REST_TOKEN']

/** `UPSTASH_REDIS_REST_URL` → `/enigma-prod/upstash-redis-rest-url` */
export const parameterName = (prefix: string, variable: string): string =>
  `/${stackName(prefix)}/${variable.toLowerCase().replaceAll('_', '-')}`

/** A part of a CloudFormation template. */
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

/** The ARN of something in the account and the region of the stack: `logs`, `log-group:…`. */
export const ownArn = (service: string, rest: string) => ({
  'Fn::Sub': `arn:\${AWS::Partition}:${service}:\${AWS::Region}:\${AWS::AccountId}:${rest}`,
})

/**
 * What happens to data when its stack is removed, or when it would have to be made anew.
 * Source: "DeletionPolicy attribute" in the CloudFormation template reference.
 */
export const kept = (keep: boolean) => {
  // A deployment that fails and is rolled back removes its resources again: left behind, they would be in the way of the next try.
  const policy = keep ? ('RetainExceptOnCreate' as const) : ('Delete' as const)
  // A part that is made anew under another name leaves the old one behind in any case: it may hold messages.
  return { DeletionPolicy: policy, UpdateReplacePolicy: 'Retain' as const }
}
