import {
  describeError,
  describeStack,
  fromSqs,
  logToConsole,
  type App,
  type Commit,
  type FromSqsOptions,
} from '../adapter/index.ts'
import type { ApiOptions } from '../api/index.ts'
import type { RelayCommand, Route } from '../protocol/index.ts'
import {
  checkEffect,
  createStore,
  createStoreWriter,
  type Effect,
  type Store,
  type StoreOptions,
  type StoreWriter,
  type UpstashAddress,
} from '../store/index.ts'
import {
  FunctionsError,
  provideSettings,
  readAbandonRule,
  readEvents,
  readMissingWait,
  readStoreOptions,
  type ReadSetting,
} from '../settings/index.ts'
import { readConsole } from './handle-url.ts'
import { withFaults } from './faults.ts'
import { countMetric, writeMetric } from './cloudwatch-metrics.ts'
import { createParameters, type Parameters } from './parameter-store.ts'
import { DRAIN, queueUrl, readQueues, sendCommand, sendReplayStep, sqs } from './sqs-queues.ts'

/*
 * Connects the functions to the read model and to SQS, as the environment variables say. The clients of both are created when they are first
 * used, and kept while the environment of the function lives.
 */

// Only on Lambda: a build imports this module too, and an unhandled rejection must end the build.
const { AWS_LAMBDA_FUNCTION_NAME } = process.env
if (AWS_LAMBDA_FUNCTION_NAME !== undefined) stayAlive(AWS_LAMBDA_FUNCTION_NAME)

// Node loads these globals on first access, which takes 30 ms. Lambda gives a function more CPU while it starts than later.
void [globalThis.Request, globalThis.Response]

/** A setting that may be a secret is in the variable `NAME`, or in the parameter of AWS Systems Manager that the variable `NAME_PARAMETER` names. */
const PARAMETER_SUFFIX = '_PARAMETER'
const isParameterName = (variable: string, name = ''): boolean =>
  variable.endsWith(PARAMETER_SUFFIX) && name.startsWith('/')

let createdParameters: Parameters | undefined

function parameters(): Parameters {
  const {
    AWS_REGION: region = '',
    AWS_ACCESS_KEY_ID: accessKeyId = '',
    AWS_SECRET_ACCESS_KEY: secretAccessKey = '',
    AWS_SESSION_TOKEN: sessionToken,
    AWS_ENDPOINT_URL_SSM: endpoint,
  } = process.env
  const named = Object.entries(process.env).flatMap(([variable, name = '']) =>
    isParameterName(variable, name) ? [[variable.slice(0, -PARAMETER_SUFFIX.length), name] as const] : [],
  )
  const credentials = { accessKeyId, secretAccessKey, sessionToken }
  // One of the two is enough. The API checks that at least one is set.
  const optional = ['API_TOKEN', 'API_TOKENS']
  const names = Object.fromEntries(named)
  return (createdParameters ??= createParameters({ names, optional, region, credentials, endpoint }))
}

// Requested during the rest of a cold start. If this fails, the first use requests the values again and reports the error.
if (Object.entries(process.env).some(([variable, name]) => isParameterName(variable, name)))
  parameters()
    .read()
    .catch(() => undefined)

const readValue: ReadSetting = async (name, maxAgeMs) => {
  const plain = process.env[name]?.trim() ?? ''
  if (plain !== '' || !process.env[name + PARAMETER_SUFFIX]) return plain
  return (await parameters().read(maxAgeMs))[name] ?? ''
}
provideSettings(readValue)

function storeOptions(): StoreOptions {
  const isParameter = ['UPSTASH_REDIS_REST_URL_PARAMETER', 'UPSTASH_REDIS_REST_TOKEN_PARAMETER'].some((name) =>
    isParameterName(name, process.env[name]),
  )
  return readStoreOptions(process.env, isParameter ? address : undefined)
}

/** After the read model rejects a token, the parameter is read again, unless it was read within this time (ms). */
const REJECTED_MS = 5_000

async function address(refused?: string): Promise<UpstashAddress> {
  const maxAgeMs = refused === undefined ? undefined : REJECTED_MS
  const names = ['UPSTASH_REDIS_REST_URL', 'UPSTASH_REDIS_REST_TOKEN'] as const
  const [url = '', token = ''] = await Promise.all(names.map((name) => readValue(name, maxAgeMs)))
  return { url, token }
}

let createdStore: Store | undefined
let createdWriter: StoreWriter | undefined

/** Returns the read model at `UPSTASH_REDIS_REST_URL`, with `UPSTASH_REDIS_REST_TOKEN`. Its keys begin with `ENIGMA_STORE_PREFIX` (default `enigma:`). */
export const store = (): Store => (createdStore ??= createStore(storeOptions()))

/** Returns the part of the read model that handlers need: without the reads, the bundle of a function is smaller. */
const writer = (): StoreWriter => (createdWriter ??= createStoreWriter(storeOptions()))

/** Commits a batch, and counts parked notifications in CloudWatch. */
export async function commitBatch(batch: Commit<Effect>): Promise<void> {
  await writer().commit(batch)
  countMetric('Parked', batch.parked.length, AWS_LAMBDA_FUNCTION_NAME)
}

/** Counts drained messages. */
export const countDrained = (count: number): void => countMetric('Drained', count, AWS_LAMBDA_FUNCTION_NAME)

/** Reports the number of parked notifications, including 0, which ends an alarm. Counts those that will be removed soon. */
export function countParked({ parked, expiring }: { readonly parked: number; readonly expiring: number }): void {
  writeMetric('ParkedNow', parked, AWS_LAMBDA_FUNCTION_NAME)
  countMetric('Expiring', expiring, AWS_LAMBDA_FUNCTION_NAME)
}

/** Counts newly found calls without a CDR, and reports how many are listed, including 0. */
export function countMissing({ found, listed }: { readonly found: number; readonly listed: number }): void {
  countMetric('Missing', found, AWS_LAMBDA_FUNCTION_NAME)
  writeMetric('MissingNow', listed, AWS_LAMBDA_FUNCTION_NAME)
}

/** Returns how long to wait for a CDR after the agent has left the call (`waitMs`), if it is set. */
export const missingWait = () => readMissingWait(process.env)

/** Returns the prefix of queue names, `ENIGMA_QUEUE_PREFIX`, or '' if it is not set. */
export const queuePrefix = (): string => process.env['ENIGMA_QUEUE_PREFIX']?.trim() ?? ''

/** Returns the options of `fromSqs` for a route. @throws FunctionsError `functions.routes.invalid` if there is no route */
export function wire(route: Route): FromSqsOptions<Effect> {
  const name: unknown = (route as Route | undefined)?.name
  if (typeof name !== 'string' || name === '')
    throw new FunctionsError(
      'functions.routes.invalid',
      'the handler has no route: export one from its file with `export const route = defineRoute({ … })`, and pass it to wire() or toHandler()',
    )
  return {
    route: route.name,
    attempts: route.attempts,
    maxAgeMs: route.maxAgeMs,
    timeoutMs: route.handlerSeconds === undefined ? undefined : route.handlerSeconds * 1_000,
    longestDelaySeconds: route.retrySeconds,
    longestOutageDelaySeconds: route.outageSeconds,
    check: checkEffect,
    commit: commitBatch,
    recall: (messageIds) => writer().recall(messageIds),
    postpone: async ({ receiptHandle, eventSourceARN }, delaySeconds) => {
      const { sdk, client } = await sqs()
      const QueueUrl = await queueUrl(eventSourceARN.slice(eventSourceARN.lastIndexOf(':') + 1))
      const change = { QueueUrl, ReceiptHandle: receiptHandle, VisibilityTimeout: delaySeconds }
      await client.send(new sdk.ChangeMessageVisibilityCommand(change))
    },
  }
}

/** Returns the Lambda handler of an app for a route. @throws FunctionsError `functions.routes.invalid` if there is no route */
export function toHandler(app: App, route: Route) {
  const options = wire(route)
  return fromSqs(withFaults(app, route, process.env['ENIGMA_FAIL']), options)
}

/**
 * Returns the options of the read API from the environment variables API_TOKEN, API_TOKENS, API_CORS_ORIGIN, ENIGMA_QUEUE_PREFIX, ENIGMA_EVENTS_URL,
 * ENIGMA_EVENTS_SECONDS, UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN.
 */
export async function apiOptions(): Promise<ApiOptions> {
  // Tokens in environment variables are checked when the function starts, so that a deployment without a token fails at once. Tokens in Parameter
  // Store are still being read, and may change, so each request reads them.
  const isInParameterStore = ['API_TOKEN', 'API_TOKENS'].some((name) => process.env[`${name}_PARAMETER`] !== undefined)
  const secret = async (name: string) => (isInParameterStore ? () => readValue(name) : readValue(name))
  // The prefix of the queue for steps of replays. Without a prefix there are no queues.
  const prefix = queuePrefix()
  const { read, commit } = store()
  return {
    read,
    token: await secret('API_TOKEN'),
    tokens: await secret('API_TOKENS'),
    corsOrigin: process.env['API_CORS_ORIGIN'] ?? '',
    abandoned: readAbandonRule(process.env),
    console: readConsole(),
    ...readEvents(process.env),
    // Without queues, relays drive replays.
    ...(prefix === ''
      ? { replay: { commit } }
      : {
          queues: () => readQueues(prefix),
          replay: {
            commit,
            sendStep: (job: string) => sendReplayStep(prefix, job),
            sendCommand: (command: RelayCommand) => sendCommand(prefix, command),
            drain: () => sendReplayStep(prefix, DRAIN),
          },
        }),
  }
}

/**
 * Logs unhandled rejections instead of ending the process. Otherwise the batch would be delivered again only after the visibility timeout of the
 * queue, and its lanes would wait. An uncaught exception outside a promise still ends the process.
 *
 * Up to version 3, Lambda's runtime client installs a listener that exits (src/index.mjs of aws/aws-lambda-nodejs-runtime-interface-client).
 * Version 4 installs none, and Node itself exits. The runtime client installs its listeners before it loads the function, so they are removed
 * here. Install your own listener (of an error tracker) after the import of wiring.ts.
 *
 * @param name the name of the Lambda function; undefined outside Lambda, where existing listeners are kept
 */
export function stayAlive(name: string | undefined): void {
  if (name !== undefined) process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', (reason) => {
    const stack = describeStack(reason)
    // The runtime client itself failed. Without its loop, the process would stay and do nothing, so the error is thrown from here, which is fatal.
    if (reason instanceof Error && (reason.name.startsWith('Runtime.') || stack[0]?.includes('/var/runtime/') === true))
      throw reason
    logToConsole({
      level: 'error',
      code: 'functions.process.unhandled_rejection',
      message:
        'a promise that the handler does not await was rejected; await it, so that the outcome of the notification includes it',
      function: name,
      error: describeError(reason),
      stack,
    })
  })
}
