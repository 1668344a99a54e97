import { appFile } from '../../src/lambda/declarations.ts'
import {
  API,
  functionKey,
  functionName,
  logicalName,
  parameterName,
  PARAMETER_VARIABLES,
  stackName,
  STORE_PARAMETERS,
} from './names.ts'
import type { StackOptions } from './options.ts'
import { isReplay, roleName } from './roles.ts'
import { arnOf } from './template.ts'

/** Lambda's pollers take up to so many messages at once; FIFO allows no more. Source: CreateEventSourceMapping in the Lambda API reference. */
const BATCH_SIZE = 10

/** How often dead letters are looked for. */
const DRAIN_SCHEDULE = 'rate(5 minutes)'

/** The API answers within this time (s), or not at all. */
const API_TIMEOUT_SECONDS = 29
const API_MEMORY_MIB = 512

/** The functions of serverless.yml: one for each route, fed by its queue, and the read API behind a URL. */
export function createFunctions(options: StackOptions): Readonly<Record<string, unknown>> {
  const { prefix, routes, corsOrigin, callLimitSeconds, timeZone, apiConcurrency } = options
  const ofRoutes = routes.map((route) => [
    functionKey(route),
    {
      ...bundle(route.name),
      name: functionName(prefix, route),
      description: `Handles ${route.name}: ${appFile(route)}`,
      role: roleName(logicalName(route)),
      memorySize: route.memoryMiB,
      timeout: route.timeoutSeconds,
      environment: {
        ...environment(options, [...STORE_PARAMETERS, ...(route.secrets ?? [])]),
        ...(isReplay(route) ? { ENIGMA_QUEUE_PREFIX: prefix } : {}),
        ...route.variables,
      },
      ...(route.vpc === undefined ? {} : { vpc: route.vpc }),
      events: [
        {
          sqs: {
            arn: arnOf(`${logicalName(route)}Queue`),
            batchSize: BATCH_SIZE,
            maximumConcurrency: route.maxConcurrency,
            functionResponseType: 'ReportBatchItemFailures',
          },
        },
        ...(isReplay(route) ? [{ schedule: DRAIN_SCHEDULE }] : []),
      ],
    },
  ])
  const ofApi = [
    API,
    {
      ...bundle(API),
      name: prefix + API,
      description: 'The API: functions/api.ts',
      role: roleName('Api'),
      memorySize: API_MEMORY_MIB,
      timeout: API_TIMEOUT_SECONDS,
      // Everybody can reach the URL: with a bound, a flood of it takes nothing from the functions of the screen pops.
      ...(apiConcurrency === undefined ? {} : { reservedConcurrency: apiConcurrency }),
      environment: {
        ...environment(options, PARAMETER_VARIABLES),
        ENIGMA_QUEUE_PREFIX: prefix,
        API_CORS_ORIGIN: corsOrigin,
        ENIGMA_CALL_LIMIT_SECONDS: String(callLimitSeconds),
        ENIGMA_TIME_ZONE: timeZone,
      },
      // Every request needs the bearer token, which the function checks.
      url: { invokeMode: 'RESPONSE_STREAM' },
    },
  ]
  return Object.fromEntries([...ofRoutes, ofApi]) as Record<string, unknown>
}

/** The bundle that the build made, and nothing else. */
const bundle = (name: string) => ({
  handler: `dist/functions/${name}/index.handler`,
  package: { patterns: ['!**', `dist/functions/${name}/**`] },
})

/** The variables of a function. Secrets are not among them, only where they are. */
function environment({ prefix, parkedDays }: StackOptions, parameters: readonly string[]): Record<string, string> {
  return {
    NODE_OPTIONS: '--enable-source-maps',
    ENIGMA_STORE_PREFIX: `${stackName(prefix)}:`,
    ENIGMA_PARKED_DAYS: String(parkedDays),
    ...Object.fromEntries(parameters.map((variable) => [`${variable}_PARAMETER`, parameterName(prefix, variable)])),
  }
}
