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

/**
 * What ties the functions to the world: the read model and SQS, by the environment. Both are made at the first use and kept while the
 * environment of the function lives.
 */

// A build loads this too, and must not go on after what nobody awaits.
const { AWS_LAMBDA_FUNCTION_NAME } = process.env
if (AWS_LAMBDA_FUNCTION_NAME !== undefined) stayAlive(AWS_LAMBDA_FUNCTION_NAME)

// Node loads these when they are first named, which takes 30 ms: while a function starts it has more of a processor than later.
void [globalThis.Request, globalThis.Response]

/** Values that may be secrets: the variable `NAME`, or the parameter in AWS Systems Manager that the variable `NAME_PARAMETER` names. */
const OF_PARAMETER = '_PARAMETER'
const isOfParameter = (variable: string, name = ''): boolean => variable.endsWith(OF_PARAMETER) && name.startsWith('/')

let madeParameters: Parameters | undefined

function parameters(): Parameters {
  const {
    AWS_REGION: region = '',
    AWS_ACCESS_KEY_ID: accessKeyId = '',
    AWS_SECRET_ACCESS_KEY: secretAccessKey = '',
    AWS_SESSION_TOKEN: sessionToken,
    AWS_ENDPOINT_URL_SSM: endpoint,
  } = process.env
  const named = Object.entries(process.env).flatMap(([variable, name = '']) =>
    isOfParameter(variable, name) ? [[variable.slice(0, -OF_PARAMETER.length), name] as const] : [],
  )
  const credentials = { accessKeyId, secretAccessKey, sessionToken }
  // One of the two is enough; which, the API sees.
  const optional = ['API_TOKEN', 'API_TOKENS']
  const names = Object.fromEntries(named)
  return (madeParameters ??= createParameters({ names, optional, region, credentials, endpoint }))
}

// Asked for while the rest of a cold start goes on. What fails now is asked for again when it is needed, and said then.
if (Object.entries(process.env).some(([variable, name]) => isOfParameter(variable, name)))
  parameters()
    .read()
    .catch(() => undefined)

const readValue: ReadSetting = async (name, maxAgeMs) => {
  const plain = process.env[name]?.trim() ?? ''
  if (plain !== '' || !process.env[name + OF_PARAMETER]) return plain
  return (await parameters().read(maxAgeMs))[name] ?? ''
}
provideSettings(readValue)

function storeOptions(): StoreOptions {
  const isParameter = ['UPSTASH_REDIS_REST_URL_PARAMETER', 'UPSTASH_REDIS_REST_TOKEN_PARAMETER'].some((name) =>
    isOfParameter(name, process.env[name]),
  )
  return readStoreOptions(process.env, isParameter ? address : undefined)
}

/** A token that the read model refuses is looked for again unless that was done so lately (ms). */
const REFUSED_MS = 5_000

async function address(refused?: string): Promise<UpstashAddress> {
  const maxAgeMs = refused === undefined ? undefined : REFUSED_MS
  const names = ['UPSTASH_REDIS_REST_URL', 'UPSTASH_REDIS_REST_TOKEN'] as const
  const [url = '', token = ''] = await Promise.all(names.map((name) => readValue(name, maxAgeMs)))
  return { url, token }
}

let madeStore: Store | undefined
let madeWriter: StoreWriter | undefined

/** The read model, by `UPSTASH_REDIS_REST_URL` and `UPSTASH_REDIS_REST_TOKEN`; its keys begin with `ENIGMA_STORE_PREFIX` (`enigma:`). */
export const store = (): Store => (madeStore ??= createStore(storeOptions()))

/** What handlers need of it. A function that reads nothing is smaller without the rest. */
const writer = (): StoreWriter => (madeWriter ??= createStoreWriter(storeOptions()))

/** Writes what a batch came to, and counts what was parked. */
export async function commitBatch(batch: Commit<Effect>): Promise<void> {
  await writer().commit(batch)
  countMetric('Parked', batch.parked.length, AWS_LAMBDA_FUNCTION_NAME)
}

/** Counts the messages that were drained. */
export const countDrained = (count: number): void => countMetric('Drained', count, AWS_LAMBDA_FUNCTION_NAME)

/** Reports how many notifications are parked, also when none are, which ends an alarm; and counts those that are removed soon. */
export function countParked({ parked, expiring }: { readonly parked: number; readonly expiring: number }): void {
  writeMetric('ParkedNow', parked, AWS_LAMBDA_FUNCTION_NAME)
  countMetric('Expiring', expiring, AWS_LAMBDA_FUNCTION_NAME)
}

/** Counts the calls that were found to have no CDR, and reports how many are listed, also when none are. */
export function countMissing({ found, listed }: { readonly found: number; readonly listed: number }): void {
  countMetric('Missing', found, AWS_LAMBDA_FUNCTION_NAME)
  writeMetric('MissingNow', listed, AWS_LAMBDA_FUNCTION_NAME)
}

/** How long (ms) a CDR is waited for after its agent has left the call. */
export const missingWait = () => readMissingWait(process.env)

/** Before the names of queues: `ENIGMA_QUEUE_PREFIX`; '' when it is not set. */
export const queuePrefix = (): string => process.env['ENIGMA_QUEUE_PREFIX']?.trim() ?? ''

/** The options of `fromSqs` for a route. */
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

/** The Lambda handler of an app for a route. */
export function toHandler(app: App, route: Route) {
  const options = wire(route)
  return fromSqs(withFaults(app, route, process.env['ENIGMA_FAIL']), options)
}

/**
 * The options of the read API by the environment: API_TOKEN, API_TOKENS, API_CORS_ORIGIN, ENIGMA_QUEUE_PREFIX, ENIGMA_EVENTS_URL,
 * ENIGMA_EVENTS_SECONDS, UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN.
 */
export async function apiOptions(): Promise<ApiOptions> {
  // Texts of the environment are looked at when the function starts, so that a deployment without a token shows at once, and never answers
  // anybody. Those in Parameter Store are on their way, and may change: each request looks at them.
  const isInParameterStore = ['API_TOKEN', 'API_TOKENS'].some((name) => process.env[`${name}_PARAMETER`] !== undefined)
  const secret = async (name: string) => (isInParameterStore ? () => readValue(name) : readValue(name))
  // Of the queue that takes the steps of replays; without it, there are none.
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
    // Without queues, relays drive the replays.
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
 * Logs a promise that nobody awaits and that rejects, instead of ending the process: the batch it belongs to would come again only
 * after the queue's visibility timeout, and all of its lane would wait. Anything thrown outside a promise still ends the process.
 *
 * Lambda's runtime client up to version 3 installs a listener that exits (src/index.mjs of aws/aws-lambda-nodejs-runtime-interface-client);
 * version 4 installs none, and Node exits by itself. The runtime client loads the function after it has installed its own listeners, so
 * these are removed here. A listener of your own (an error tracker's) goes after the import of wiring.ts.
 *
 * @param name the Lambda function; undefined in a process that is not Lambda's, whose listeners stay
 */
export function stayAlive(name: string | undefined): void {
  if (name !== undefined) process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', (reason) => {
    const stack = describeStack(reason)
    // A failure of the runtime client itself: without its loop, the process would stay and do nothing. Thrown from here, it is fatal.
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
