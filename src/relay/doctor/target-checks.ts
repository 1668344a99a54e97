import type { SQSClient } from '@aws-sdk/client-sqs'
import { deadLetterQueueName, OTHER, OUTCOMES_TYPE, queueName, type Routes } from '../../protocol/index.ts'
import type { RelayConfig } from '../config.ts'
import { statusOf } from '../relay-error.ts'
import { looseFiles } from '../redis/address.ts'
import { createHttpHandler, type HttpAnswer, type HttpHandler } from '../targets/http-handler.ts'
import { proxyFor, ProxyError } from '../targets/http-proxy.ts'
import { authorize, CONTENT_TYPE } from '../targets/http/http-target.ts'
import { adviseTarget, nameOf, readOutcomes, TargetError, type TargetAddress } from '../targets/http/http-verdict.ts'
import { createSqs } from '../targets/sqs/sqs-client.ts'
import { problemOf, sqsFix } from '../targets/sqs/verdict.ts'
import { createTargetClient, targetAddressOf } from '../targets/target.ts'
import { fail, makeChecks, ok, sqsWords, warn, wordsOf, type Diagnosis, type Finding } from './check.ts'
import { checkCommands, checkLimits, checkQueue, checkSend, readQueue } from './queue-checks.ts'

/** How long (ms) SQS, or a proxy in front of it, may take to answer. The relay's own requests may take longer. */
const MAX_SQS_MS = 5_000

/** Checks SQS: each queue of the route table, the right to send, the clock. Sends nothing. Never throws. */
export async function examineSqs(config: RelayConfig, routes: Routes, now: () => number): Promise<readonly Finding[]> {
  const { endpoint, region, queuePrefix } = config
  const where = endpoint ?? `AWS, region ${region}`
  const sqs = createSqs(config, { requestTimeoutMs: MAX_SQS_MS })
  const skew = watchClock(sqs, now)
  try {
    const from = performance.now()
    // One queue first, so that a general problem with SQS is reported once.
    const probe = await readQueue(sqs, queueName(queuePrefix, OTHER))
    const ms = Math.round(performance.now() - from)
    if ('error' in probe && isForAll(probe.error)) {
      const text = `SQS cannot be used (${where}): ${sqsWords(probe.error)}`
      return await makeChecks('sqs', {
        answer: () => fail('doctor.sqs.unusable', text, sqsFix(probe.error, `${queuePrefix}*`)),
        clock: () => judgeClock(skew(), "SQS's", 'SQS rejects'),
      })
    }
    const queues = await Promise.all(
      routes.all.map(async (route) => {
        const name = queueName(queuePrefix, route)
        const deadName = deadLetterQueueName(queuePrefix, route)
        const [queue, dead] = await Promise.all([readQueue(sqs, name), readQueue(sqs, deadName)])
        return { route, name, queue, dead }
      }),
    )
    return await makeChecks('sqs', {
      answer: () => ok(`SQS answers after ${ms} ms (${where})`),
      clock: () => judgeClock(skew(), "SQS's", 'SQS rejects'),
      limits: () => checkLimits(queues.map(({ queue }) => queue)),
      ...Object.fromEntries(
        queues.map(({ route, queue, dead }) => [`queue/${route.name}`, () => checkQueue(config, route, queue, dead)]),
      ),
      ...Object.fromEntries(
        queues.map(({ route, name, queue }) => [`send/${route.name}`, () => checkSend(sqs, name, queue)]),
      ),
      commands: () => checkCommands(sqs, config),
    })
  } finally {
    sqs.destroy()
  }
}

/** Whether this error affects all queues: SQS is unreachable, does not know the caller, or another server answered instead. */
function isForAll(error: unknown): boolean {
  const problem = problemOf(error)
  if (problem === 'relay.sqs.unavailable') return statusOf(error) === undefined
  return problem !== 'relay.sqs.queue_missing' && problem !== 'relay.sqs.access_denied'
}

/** Checks whether SQS can be reached through the proxy that the environment names. Returns nothing when it names none. */
export async function checkProxy({ endpoint, region, proxies }: RelayConfig): Promise<Diagnosis[]> {
  if (proxies.https === undefined && proxies.http === undefined) return []
  const aws = `https://sqs.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`
  const { protocol, hostname, port, host, origin } = new URL(endpoint ?? aws)
  const proxy = proxyFor(origin, proxies)
  if (proxy === undefined)
    return [ok(`the relay reaches ${origin} without the proxy: NO_PROXY names it, or no proxy is set for ${protocol}`)]
  const handler = createHttpHandler({ proxies, requestTimeoutMs: MAX_SQS_MS })
  const to = { protocol, hostname, ...(port === '' ? {} : { port: Number(port) }) }
  try {
    // SQS answers this request although it is not signed, and does nothing.
    await handler.handle({ ...to, method: 'GET', path: '/', headers: { host } })
    return [ok(`the relay reaches ${origin} through the proxy ${proxy.url}`)]
  } catch (error) {
    const text = `the relay cannot reach ${origin} through ${proxy.url}: ${wordsOf(error)}`
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

/** A skew below this (ms) is not reported: the Date header has whole seconds, and a response takes a moment. */
const CLOCK_WARN_MS = 60_000
/**
 * SQS and webhook servers reject a signature that is older, or younger, than this (ms). Sources: the IAM user guide, "Signing AWS API requests"; the
 * Standard Webhooks libraries.
 */
const CLOCK_REFUSED_MS = 5 * 60_000

/**
 * Reads the Date header of each response of SQS, including errors. Returns how far (ms) this clock was ahead at the last response; negative: behind.
 */
function watchClock(sqs: SQSClient, now: () => number): () => number | undefined {
  let skew: number | undefined
  // The innermost middleware of this step: it sees the response before it is parsed.
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

/** Judges how far (ms) this machine's clock is ahead of another one: ids and times come from it, and servers reject signatures of another time. */
function judgeClock(skewMs: number | undefined, whose: string, reject: string): Diagnosis {
  if (skewMs === undefined)
    return warn('doctor.clock.unknown', 'the clock could not be checked: the response of SQS has no date')
  const seconds = Math.round(Math.abs(skewMs) / 1000)
  const text = `this clock is ${seconds} s ${skewMs < 0 ? 'behind' : 'ahead of'} ${whose}`
  const fix = 'timedatectl set-ntp true'
  if (Math.abs(skewMs) > CLOCK_REFUSED_MS)
    return fail('doctor.clock.refused', `${text}: ${reject} requests signed with it`, fix)
  if (Math.abs(skewMs) > CLOCK_WARN_MS)
    return warn('doctor.clock.off', `${text}: times and ages are off by that much`, fix)
  return ok(seconds <= 1 ? `this clock agrees with ${whose}` : text)
}

/** How long (ms) a target may take to answer: a function may have to start. */
const MAX_TARGET_MS = 10_000

/** A batch without events. It is signed like any other, and has no effect. */
const EMPTY_BATCH = Buffer.from('[]')

/** Checks the HTTP targets, each address once. Sends an empty batch. Never throws. */
export async function examineTargets(
  config: RelayConfig,
  routes: Routes,
  now: () => number,
): Promise<readonly Finding[]> {
  const addresses = new Map<string, TargetAddress>()
  for (const route of routes.all) {
    const { url, variable } = targetAddressOf(config, route)
    if (url !== 'sqs' && !addresses.has(url.href)) addresses.set(url.href, { url, variable })
  }
  if (addresses.size === 0) return []
  const http = createTargetClient(config, { requestTimeoutMs: MAX_TARGET_MS })
  const all = [...addresses.values()]
  try {
    return await makeChecks('target', {
      access: () => checkAccess(config, all),
      ...Object.fromEntries(all.map((address) => [address.variable, () => checkTarget(config, address, http, now)])),
    })
  } finally {
    http.destroy()
  }
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

/** Checks whether requests are authenticated, and who can read the secrets. */
function checkAccess({ targets }: RelayConfig, addresses: readonly TargetAddress[]): Diagnosis[] {
  const { secret, secretFile, token, tokenFile, certFile, keyFile } = targets.access
  const findings: Diagnosis[] = []
  if ((secret ?? secretFile ?? token ?? tokenFile ?? certFile) === undefined) {
    const text =
      'requests to targets have neither a signature nor a token: anyone who can reach the functions can send to them'
    findings.push(warn('doctor.target.unsigned', text, 'set ENIGMA_TARGET_SECRET'))
  }
  const open = addresses.find(({ url }) => url.protocol === 'http:' && !LOOPBACK.test(url.hostname))
  if (open !== undefined) {
    const text = `notifications, including phone numbers, go to ${nameOf(open.url)} without TLS`
    findings.push(warn('doctor.target.plain_http', text, `write https:// in ${open.variable}`))
  }
  const loose = looseFiles([secretFile, tokenFile, keyFile])
  if (loose.length > 0)
    findings.push(
      warn(
        'doctor.secrets.readable',
        `every user of this host can read ${loose.join(', ')}`,
        `chmod 600 ${loose.join(' ')}`,
      ),
    )
  return findings.length > 0 ? findings : [ok('requests to targets are authenticated')]
}

async function checkTarget(
  { targets, proxies }: RelayConfig,
  address: TargetAddress,
  http: Pick<HttpHandler, 'send'>,
  now: () => number,
): Promise<Diagnosis | Diagnosis[]> {
  const { url } = address
  const proxy = proxyFor(url.origin, proxies)
  const at = `${nameOf(url)}${proxy === undefined ? '' : ` (through the proxy ${proxy.url})`}`
  try {
    const signed = authorize(targets.access, { id: 'doctor', timeMs: now(), body: EMPTY_BATCH })
    const headers = { 'content-type': CONTENT_TYPE, 'ce-attempt': '1', ...signed }
    const request = { path: url.pathname + url.search, method: 'POST', headers, body: EMPTY_BATCH }
    const from = performance.now()
    const answer = await http.send(url.origin, request, { limitMs: MAX_TARGET_MS })
    const ms = Math.round(performance.now() - from)
    return [judgeAnswer(answer, at, ms), ...checkTargetClock(answer.headers['date'], now())]
  } catch (error) {
    const { code, says, fix } = adviseTarget(error, address)
    const words = error instanceof TargetError ? '' : ` (${wordsOf(error)})`
    return fail(codeOf(code), `${says}${words}`, fix)
  }
}

/** The same codes as in the relay's log. */
const codeOf = (code: string) =>
  code === 'relay.proxy.refused' ? ('doctor.proxy.unusable' as const) : (`doctor.target.${code.split('.')[2]}` as const)

/** @throws TargetError for an answer that would count as an outage */
function judgeAnswer(answer: HttpAnswer, at: string, ms: number): Diagnosis {
  const { statusCode: status, headers } = answer
  if ([400, 413, 415, 422].includes(status)) {
    const text = `${at} answers, but does not accept an empty batch of CloudEvents (HTTP ${status}): whether it accepts notifications could not be checked`
    return warn('doctor.target.not_checked', text)
  }
  readOutcomes(answer, [])
  return headers['content-type']?.startsWith(OUTCOMES_TYPE) === true
    ? ok(`${at} answers after ${ms} ms, with an outcome for each notification`)
    : ok(`${at} answers after ${ms} ms; its status (HTTP ${status}) applies to all notifications of a request`)
}

/** Says nothing when the clocks agree, or the answer has no date. */
function checkTargetClock(date: string | undefined, nowMs: number): Diagnosis[] {
  const skewMs = nowMs - Date.parse(date ?? '')
  return Number.isNaN(skewMs) || Math.abs(skewMs) <= CLOCK_WARN_MS
    ? []
    : [judgeClock(skewMs, "the target's", 'servers reject')]
}
