import { fromSqs, type App, type Commit, type FromSqsOptions } from '../adapter/index.ts'
import type { Route } from '../protocol/index.ts'
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
import { countMetric } from './metrics.ts'
import { createParameters, type Parameters } from './parameters.ts'
import { queueUrl, sqs } from './queues.ts'
import { readCallLimit, readParkedDays, readTimeZone } from './read-model-settings.ts'
import { stayAlive } from './stay-alive.ts'

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
  } = process.env
  const named = Object.entries(process.env)
    .filter(([variable, name]) => isOfParameter(variable, name))
    .map(([variable, name = '']) => [variable.slice(0, -OF_PARAMETER.length), name])
  const names = Object.fromEntries(named) as Record<string, string>
  madeParameters ??= createParameters({
    names,
    // One of the two is enough; which, the API sees.
    optional: ['API_TOKEN', 'API_TOKENS'],
    region,
    credentials: { accessKeyId, secretAccessKey, sessionToken },
    endpoint: process.env['AWS_ENDPOINT_URL_SSM'],
  })
  return madeParameters
}

// Asked for while the rest of a cold start goes on. What fails now is asked for again when it is needed, and said then.
if (Object.entries(process.env).some(([variable, name]) => isOfParameter(variable, name)))
  parameters()
    .read()
    .catch(() => undefined)

/**
 * The value of a setting, at most so old (ms); '' when there is none. Settings of your own: `variables` and `secrets` of a declaration.
 *
 * @example
 * const token = await setting('CRM_TOKEN')
 */
export async function setting(name: string, maxAgeMs?: number): Promise<string> {
  const plain = process.env[name]?.trim() ?? ''
  if (plain !== '' || !process.env[name + OF_PARAMETER]) return plain
  return (await parameters().read(maxAgeMs))[name] ?? ''
}

/** A token that the read model refuses is looked for again unless that was done so lately (ms). */
const REFUSED_MS = 5_000

function storeOptions(): StoreOptions {
  const { UPSTASH_REDIS_REST_URL: url = '', UPSTASH_REDIS_REST_TOKEN: token = '' } = process.env
  const { ENIGMA_CALL_LIMIT_SECONDS: callLimit, ENIGMA_TIME_ZONE: timeZone, ENIGMA_PARKED_DAYS: days } = process.env
  const isParameter = ['UPSTASH_REDIS_REST_URL_PARAMETER', 'UPSTASH_REDIS_REST_TOKEN_PARAMETER'].some((name) =>
    isOfParameter(name, process.env[name]),
  )
  const prefix = process.env['ENIGMA_STORE_PREFIX']?.trim() || 'enigma:'
  return {
    prefix,
    ...readCallLimit(callLimit),
    ...readTimeZone(timeZone),
    ...readParkedDays(days),
    ...(isParameter ? { address } : { url, token }),
  }
}

let madeStore: Store | undefined
let madeWriter: StoreWriter | undefined

/** The read model, by `UPSTASH_REDIS_REST_URL` and `UPSTASH_REDIS_REST_TOKEN`; its keys begin with `ENIGMA_STORE_PREFIX` (`enigma:`). */
export function store(): Store {
  madeStore ??= createStore(storeOptions())
  return madeStore
}

/** What handlers need of it. A function that reads nothing is smaller without the rest. */
function writer(): StoreWriter {
  madeWriter ??= createStoreWriter(storeOptions())
  return madeWriter
}

async function address(refused?: string): Promise<UpstashAddress> {
  const maxAgeMs = refused === undefined ? undefined : REFUSED_MS
  const [url, token] = await Promise.all([
    setting('UPSTASH_REDIS_REST_URL', maxAgeMs),
    setting('UPSTASH_REDIS_REST_TOKEN', maxAgeMs),
  ])
  return { url, token }
}

/** Writes what a batch came to, and counts what was parked. */
export async function commitBatch(batch: Commit<Effect>): Promise<void> {
  await writer().commit(batch)
  countMetric('Parked', batch.parked.length, AWS_LAMBDA_FUNCTION_NAME)
}

/** Counts the messages that were drained. */
export const countDrained = (count: number): void => countMetric('Drained', count, AWS_LAMBDA_FUNCTION_NAME)

/** Before the names of queues: `ENIGMA_QUEUE_PREFIX`; '' when it is not set. */
export const queuePrefix = (): string => process.env['ENIGMA_QUEUE_PREFIX']?.trim() ?? ''

/** The options of `fromSqs` for a route. */
export function wire(route: Route): FromSqsOptions<Effect> {
  return {
    route: route.name,
    maxReceiveCount: route.attempts,
    maxAgeMs: route.maxAgeMs,
    timeoutMs: route.handlerSeconds === undefined ? undefined : route.handlerSeconds * 1_000,
    longestDelaySeconds: route.retrySeconds,
    longestOutageDelaySeconds: route.outageSeconds,
    check: checkEffect,
    commit: commitBatch,
    recall: (messageIds) => writer().recall(messageIds),
    postpone: async ({ receiptHandle, eventSourceARN }, delaySeconds) => {
      const { sdk, client } = await sqs()
      const QueueUrl = await queueUrl(nameOf(eventSourceARN))
      await client.send(
        new sdk.ChangeMessageVisibilityCommand({
          QueueUrl,
          ReceiptHandle: receiptHandle,
          VisibilityTimeout: delaySeconds,
        }),
      )
    },
  }
}

/** The Lambda handler of an app for a route. */
export const toHandler = (app: App, route: Route) => fromSqs(app, wire(route))

const nameOf = (arn: string): string => arn.slice(arn.lastIndexOf(':') + 1)
