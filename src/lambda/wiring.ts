import type { SQSClient } from '@aws-sdk/client-sqs'
import { fromSqs, type App, type FromSqsOptions, type Parked } from '../adapter/index.ts'
import { formatEvent, gzipBody, isSqsText, toBytes, type Route } from '../protocol/index.ts'
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
import { FunctionsError } from './errors.ts'
import { createParameters, type Parameters } from './parameters.ts'
import { readCallLimit, readTimeZone } from './read-model-settings.ts'
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
  const { ENIGMA_CALL_LIMIT_SECONDS: callLimit, ENIGMA_TIME_ZONE: timeZone } = process.env
  const isParameter = ['UPSTASH_REDIS_REST_URL_PARAMETER', 'UPSTASH_REDIS_REST_TOKEN_PARAMETER'].some((name) =>
    isOfParameter(name, process.env[name]),
  )
  const prefix = process.env['ENIGMA_STORE_PREFIX']?.trim() || 'enigma:'
  return {
    prefix,
    ...readCallLimit(callLimit),
    ...readTimeZone(timeZone),
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

/** The SDK and a client of it. */
export type Sqs = { readonly sdk: typeof import('@aws-sdk/client-sqs'); readonly client: SQSClient }

let madeSqs: Promise<Sqs> | undefined

/** The SDK is loaded when something goes wrong, which is seldom, or is looked for: a cold start does not wait for it. */
export function sqs(): Promise<Sqs> {
  madeSqs ??= import('@aws-sdk/client-sqs').then((sdk) => ({
    sdk,
    client: new sdk.SQSClient({ useQueueUrlAsEndpoint: false }),
  }))
  return madeSqs
}

const urls = new Map<string, string>()

async function queueUrl(name: string): Promise<string> {
  const known = urls.get(name)
  if (known !== undefined) return known
  const { sdk, client } = await sqs()
  const { QueueUrl: url } = await client.send(new sdk.GetQueueUrlCommand({ QueueName: name }))
  if (url === undefined)
    throw new FunctionsError('functions.queues.no_url', `SQS returned no URL for the queue ${name}`)
  urls.set(name, url)
  return url
}

/** The options of `fromSqs` for a route. */
export function wire(route: Route): FromSqsOptions<Effect> {
  return {
    maxReceiveCount: route.attempts,
    maxAgeMs: route.maxAgeMs,
    timeoutMs: route.handlerSeconds === undefined ? undefined : route.handlerSeconds * 1_000,
    longestDelaySeconds: route.retrySeconds,
    longestOutageDelaySeconds: route.outageSeconds,
    check: checkEffect,
    commit: (batch) => writer().commit(batch),
    recall: (messageIds) => writer().recall(messageIds),
    park,
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

/**
 * What is larger goes gzipped, as it came. A dead-letter queue may take 256 KiB only, attributes included: as it was made once, or on a
 * server that knows no more.
 */
const BODY_BYTES = 256 * 1024 - 8 * 1024

/** Characters of an id or a handler's name that are shown; the relay's own have some 40. */
const MOST_ID = 500

/**
 * Puts one notification (or a message that could not be read) in the dead-letter queue, with what `GET /parked` says of it. SQS takes
 * ten attributes; these are nine.
 */
async function park(parked: Parked): Promise<void> {
  const { sdk, client } = await sqs()
  const { notification, eventSourceARN, messageId, status } = parked
  const QueueUrl = await queueUrl(nameOf(eventSourceARN).replace(/\.fifo$/, '-dlq.fifo'))
  const plain = notification === undefined ? (parked.body ?? '') : formatEvent(notification)
  const encoding = parked.contentEncoding ?? (toBytes(plain).length > BODY_BYTES ? 'gzip' : undefined)
  const attributes = {
    reason: parked.reason,
    attempts: String(parked.attempts),
    handler: parked.handler?.slice(0, MOST_ID),
    status: status === undefined ? undefined : String(status),
    id: notification?.id.slice(0, MOST_ID),
    firstReceivedAt: parked.firstReceivedAt,
    parkedAt: new Date().toISOString(),
    // Its group in the queue that it came from.
    messageGroupId: parked.messageGroupId,
    'content-encoding': encoding,
  }
  const set = Object.entries(attributes).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '',
  )
  // The same one parked twice out of one message is one message for SQS: its batch was tried again. Once it was sent again from there it
  // is another message, with an id of its own, and must not look like a copy: SQS throws those away for five minutes, also when the
  // first is gone by now. Of a foreign event only source and id together are unique.
  const digest = await sha256([messageId, parked.firstReceivedAt, notification?.source, notification?.id].join(' '))
  await client.send(
    new sdk.SendMessageCommand({
      QueueUrl,
      MessageBody: encoding === 'gzip' && parked.contentEncoding === undefined ? await gzipBody(plain) : plain,
      // A group of its own: one that is being looked at or sent again hides no other.
      MessageGroupId: digest,
      MessageDeduplicationId: digest,
      MessageAttributes: Object.fromEntries(
        set.map(([name, value]) => [name, { DataType: 'String', StringValue: toSqsText(value) }]),
      ),
    }),
  )
}

/** Attributes take the same characters as bodies. */
const toSqsText = (text: string): string =>
  isSqsText(text) ? text : Array.from(text, (one) => (isSqsText(one) ? one : '?')).join('')

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new Uint8Array(toBytes(text)))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
