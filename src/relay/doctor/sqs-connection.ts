import type { SQSClient } from '@aws-sdk/client-sqs'
import { maskText } from '../../protocol/index.ts'
import type { RelayConfig } from '../config.ts'
import { isForeignAnswer } from '../errors.ts'
import { createHttpHandler, ProxyError } from '../targets/http-handler.ts'
import { proxyFor } from '../targets/http-proxy.ts'
import { isAccessDenied, isForCredentials, isMissingQueue, statusOf } from '../targets/sqs/verdict.ts'
import { fail, ok, warn, wordsOf, type Diagnosis } from './check.ts'

/** How long (ms) SQS may take to answer, and a proxy before it; the relay's own requests are allowed more. */
export const REQUEST_MS = 5_000

/** Whether SQS can be reached through the proxy that the environment names; says nothing when it names none. */
export async function checkProxy({ endpoint, region, proxies }: RelayConfig): Promise<Diagnosis[]> {
  if (proxies.https === undefined && proxies.http === undefined) return []
  const { protocol, hostname, port, host, origin } = new URL(
    endpoint ?? `https://sqs.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`,
  )
  const proxy = proxyFor(origin, proxies)
  if (proxy === undefined)
    return [ok(`the relay reaches ${origin} without the proxy: NO_PROXY names it, or no proxy is for ${protocol}`)]
  const handler = createHttpHandler({ proxies, requestTimeoutMs: REQUEST_MS })
  const to = { protocol, hostname, ...(port === '' ? {} : { port: Number(port) }) }
  try {
    // SQS answers to this without a signature, and does nothing.
    await handler.handle({ ...to, method: 'GET', path: '/', headers: { host } })
    return [ok(`the relay reaches ${origin} through the proxy ${proxy.url}`)]
  } catch (error) {
    const text = `the relay does not reach ${origin} through ${proxy.url}: ${wordsOf(error)}`
    return [fail('doctor.proxy.unusable', text, proxyFix(error))]
  } finally {
    handler.destroy()
  }
}

function proxyFix(error: unknown): string {
  if (error instanceof ProxyError)
    return error.status === 407
      ? 'set HTTPS_PROXY with the user and password of the proxy: http://user:password@proxy.example:3128'
      : 'allow the proxy to connect to this host, or name the host in NO_PROXY'
  if (error instanceof Error && /certificate/i.test(error.message))
    return 'if the proxy intercepts TLS, set NODE_EXTRA_CA_CERTS to the certificate of its authority'
  return 'correct HTTPS_PROXY (HTTP_PROXY for http:), or name the host in NO_PROXY'
}

/** The Date header has whole seconds, and an answer takes a moment: less than this (ms) says nothing. */
const WARN_MS = 60_000
/** SQS refuses a signature that is older, or younger, than this. Source: the IAM user guide, "Signing AWS API requests". */
const REFUSED_MS = 5 * 60_000

/** Reads the Date header of what SQS answers, also of errors. Returns how far (ms) this clock was ahead at the last answer; negative: behind. */
export function watchClock(sqs: SQSClient, now: () => number): () => number | undefined {
  let skew: number | undefined
  // The innermost of this step: it sees the answer before anything is made of it.
  sqs.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      const { headers } = result.response as { headers?: Record<string, string> }
      const at = Date.parse(headers?.['date'] ?? '')
      if (!Number.isNaN(at)) skew = now() - at
      return result
    },
    { step: 'deserialize', priority: 'low', name: 'watchClock' },
  )
  return () => skew
}

/** Whether this machine's clock is near SQS's: ids and times come from it, and SQS refuses signatures of another time. */
export function checkClock(skew: number | undefined): Diagnosis {
  if (skew === undefined)
    return warn('doctor.clock.unknown', 'the clock could not be checked: the response of SQS has no date')
  const seconds = Math.round(Math.abs(skew) / 1000)
  const text = `this clock is ${seconds} s ${skew < 0 ? 'behind' : 'ahead of'} SQS's`
  const fix = 'timedatectl set-ntp true'
  if (Math.abs(skew) > REFUSED_MS)
    return fail('doctor.clock.refused', `${text}: SQS rejects requests signed with it`, fix)
  if (Math.abs(skew) > WARN_MS) return warn('doctor.clock.off', `${text}: times and ages are off by that much`, fix)
  return ok(seconds <= 1 ? "this clock agrees with SQS's" : text)
}

/** Whether all queues suffer from this error: SQS is not there, does not know who asks, or something else answers in its place. */
export const isForAll = (error: unknown): boolean =>
  isForCredentials(error) ||
  isForeignAnswer(error) ||
  (!isMissingQueue(error) && !isAccessDenied(error) && statusOf(error) === undefined)

/** The words of an error of SQS, without account and key numbers; one of the connection names addresses and ports only. */
export function sqsWords(error: unknown): string {
  const isConnection = error instanceof Error && 'code' in error && /^E[A-Z]+$/.test(String(error.code))
  return isConnection ? wordsOf(error) : maskText(wordsOf(error))
}

/** What to do about an error of SQS. */
export function sqsFix(error: unknown, queue: string): string {
  if (isMissingQueue(error)) return 'enigma-relay queues --create, or correct ENIGMA_QUEUE_PREFIX'
  if (isForCredentials(error))
    return 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role, and check the clock'
  if (isAccessDenied(error)) return `allow sqs:SendMessage, sqs:GetQueueUrl and sqs:GetQueueAttributes on ${queue}`
  if (isForeignAnswer(error))
    return 'check AWS_ENDPOINT_URL_SQS and any proxy on the way; a local SQS must speak the JSON protocol'
  return 'check AWS_REGION, AWS_ENDPOINT_URL_SQS and the network'
}
