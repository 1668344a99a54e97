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
