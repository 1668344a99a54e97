import { isObject, maskText, OUTCOMES_TYPE } from '../../../protocol/index.ts'
import type { Code } from '../../../runtime/index.ts'
import { describe, RelayError } from '../../relay-error.ts'
import { eventOfConnection } from '../../redis/advice.ts'
import type { HttpAnswer } from '../http-handler.ts'
import { ProxyError } from '../http-proxy.ts'
import type { Outcome, Parcel, Problem, Rejection } from '../target.ts'

/** The server answered the request, and accepted nothing of it. */
export class TargetError extends Error {
  override readonly name = 'TargetError'
  readonly code: 'relay.target.rejected' | 'relay.target.foreign_answer'
  readonly answer: HttpAnswer

  constructor(code: TargetError['code'], message: string, answer: HttpAnswer) {
    super(message)
    this.code = code
    this.answer = answer
  }
}

/** The longest time (ms) that a server may delay the next attempt at a notification, the same as for a message in SQS. */
const MAX_AFTER_MS = 12 * 3_600_000

/** The longest `Retry-After` (ms) that counts, so that sending resumes soon after a recovery. */
const MAX_RETRY_AFTER_MS = 60_000

/**
 * Reads the outcome of each pack. When a server gives no outcome for each notification, any 2xx accepts all of them. @throws TargetError when nothing
 * was accepted
 */
export function readOutcomes(answer: HttpAnswer, parcels: readonly Parcel[]): readonly Outcome[] {
  const items = parcels.flatMap(({ pack }) => pack.items)
  const waits = readUnfinished(
    answer,
    items.map(({ id }) => id),
  )
  let at = 0
  return parcels.map(({ pack }) => {
    const first = at
    at += pack.items.length
    const left = pack.items.filter((_item, index) => waits.has(first + index))
    const asked = pack.items.flatMap((_item, index) => waits.get(first + index) ?? [])
    // The latest time that the server asked for applies to all of them.
    const afterMs = asked.length === 0 ? undefined : Math.max(...asked)
    return left.length === 0 ? 'accepted' : { verdict: 'unfinished', left, afterMs }
  })
}

/**
 * Returns which of the sent notifications must be retried, by their index, each with how long (ms) it has to wait. @throws TargetError when nothing
 * was accepted, or the outcomes are not those of these notifications in their order
 */
export function readUnfinished(answer: HttpAnswer, ids: readonly string[]): ReadonlyMap<number, number | undefined> {
  const { statusCode: status, headers } = answer
  if (status < 200 || status >= 300)
    throw new TargetError('relay.target.rejected', `HTTP ${status}${wordsOf(answer)}`, answer)
  if (status !== 200 || headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase() !== OUTCOMES_TYPE)
    return new Map()
  const waits = readWaits(answer.body.toString(), ids)
  if (waits === undefined)
    throw new TargetError('relay.target.foreign_answer', 'the outcomes do not match the notifications sent', answer)
  return waits
}

function readWaits(text: string, ids: readonly string[]): ReadonlyMap<number, number | undefined> | undefined {
  const answer = parse(text)
  const outcomes: unknown = isObject(answer) ? answer['outcomes'] : undefined
  if (!Array.isArray(outcomes) || outcomes.length !== ids.length) return undefined
  const waits = new Map<number, number | undefined>()
  for (const [index, id] of ids.entries()) {
    const one: unknown = outcomes[index]
    if (!isObject(one) || one['id'] !== id) return undefined
    const { outcome, after } = one
    if (outcome === 'retry') {
      const isTime = typeof after === 'number' && Number.isFinite(after) && after >= 0
      waits.set(index, isTime ? Math.min(MAX_AFTER_MS, after * 1_000) : undefined)
    } else if (outcome !== 'done' && outcome !== 'parked') return undefined
  }
  return waits
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Returns the text of a problem document (RFC 9457), without personal data. */
function wordsOf({ headers, body }: HttpAnswer): string {
  const problem = /[/+]json\b/.test(headers['content-type'] ?? '') ? parse(body.toString()) : undefined
  const words = isObject(problem) ? [problem['title'], problem['detail']].filter((one) => typeof one === 'string') : []
  return words.length === 0 ? '' : `: ${maskText(words.join(': ')).slice(0, 200)}`
}

/** Reads seconds or a date. Source: RFC 9110, section 10.2.3. */
function readRetryAfter({ headers }: HttpAnswer): number | undefined {
  const text = headers['retry-after']?.trim() ?? ''
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.min(MAX_RETRY_AFTER_MS, Math.max(0, ms))
}

/** Returns an address for logs: its query may contain credentials. */
export const nameOf = ({ origin, pathname }: URL): string => origin + pathname

/** Returns the address to which an address redirects. */
function locationOf({ headers }: HttpAnswer, from: URL): string {
  const to = URL.parse(headers['location'] ?? '', from.href)
  return to === null ? 'another address' : nameOf(to)
}

/** The address of a target, and the variable that sets it. */
export type TargetAddress = { readonly url: URL; readonly variable: string }

type Advice = readonly [event: string, says: string, fix: string]

/** Explains an error status. The content is at fault only for 413 and 422. */
function adviseStatus(answer: HttpAnswer, { url, variable }: TargetAddress): Advice {
  const { statusCode: status } = answer
  const at = `${nameOf(url)} (HTTP ${status})`
  if (status === 401) {
    const fix =
      'set ENIGMA_TARGET_SECRET or ENIGMA_TARGET_TOKEN to the value that the server uses; check the clocks of both hosts'
    return ['unauthorized', `the target does not accept the signature or token of the relay: ${at}`, fix]
  }
  if (status === 403)
    return [
      'forbidden',
      `the target denies access: ${at}`,
      'allow the relay on the server, or in the firewall in front of it',
    ]
  if ([404, 405, 410, 501].includes(status))
    return [
      'not_found',
      `nothing accepts notifications at ${at}`,
      `correct the path in ${variable}, or deploy the functions there`,
    ]
  if (status >= 300 && status < 400)
    return [
      'redirected',
      `the target redirects: ${at}`,
      `set ${variable} to the address it names, ${locationOf(answer, url)}`,
    ]
  if (status === 429) return ['throttled', `the target throttles the relay: ${at}`, 'raise the limit of the server']
  if (status >= 500)
    return ['unavailable', `the target answers with a server error: ${at}`, 'check the log of the server']
  if (status === 400 && /\bhttps\b/i.test(answer.body.toString().slice(0, 1_000)))
    return ['tls_port', `this port requires TLS: ${at}`, `write https:// in ${variable}`]
  return [
    'rejected',
    `the target rejects the requests of the relay: ${at}`,
    `check that ${variable} is the address of the functions`,
  ]
}

/** The faults of a connection, by `eventOfConnection`. */
const CONNECTION: Readonly<Record<string, readonly [says: string, fix: string]>> = {
  tls_host_name: ["the target's certificate is for another host name", 'use the host name that is in the certificate'],
  tls_expired: ["the target's certificate has expired", "renew the server's certificate"],
  tls_not_yet_valid: ["the target's certificate is not valid yet", 'correct the clocks of both hosts'],
  tls_client_certificate: [
    'the target requires a client certificate, or shares no cipher with the relay',
    'set ENIGMA_TARGET_CERT and ENIGMA_TARGET_KEY',
  ],
  tls_client_rejected: [
    "the target rejects the relay's client certificate",
    'set ENIGMA_TARGET_CERT and ENIGMA_TARGET_KEY to a valid certificate from an authority that the server trusts',
  ],
  tls_version: ['the target and the relay have no TLS version in common', 'enable TLS 1.2 or 1.3 on the server'],
  plain_port: ['this port of the target does not use TLS', 'write http:// instead of https://, or use the TLS port'],
  key_mismatch: [
    'ENIGMA_TARGET_KEY is not the private key of ENIGMA_TARGET_CERT',
    'use two files that belong together',
  ],
  tls_file: [
    'a certificate or key file is not valid PEM',
    'check ENIGMA_TARGET_CA, ENIGMA_TARGET_CERT and ENIGMA_TARGET_KEY',
  ],
  tls_untrusted: [
    "the target's certificate is not trusted",
    'set ENIGMA_TARGET_CA to the certificate of its authority (behind a proxy that intercepts TLS: that of the proxy)',
  ],
  unknown_host: ['the host name of the target cannot be resolved', 'correct the host name, or the DNS resolver'],
}

function adviseConnection(error: unknown, { url, variable }: TargetAddress): Advice {
  const at = nameOf(url)
  if (error instanceof RelayError)
    return [
      'no_secret',
      error.message,
      'write the secret, token, certificate or key to the file, and let the relay read it',
    ]
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code.startsWith('HPE_'))
    return [
      'tls_port',
      `the target does not answer in HTTP: ${at}`,
      `if this port requires TLS, write https:// in ${variable}`,
    ]
  const event = eventOfConnection(error)
  const [says, fix] = CONNECTION[event ?? ''] ?? []
  if (event !== undefined && says !== undefined && fix !== undefined)
    return [event, `${says}: ${at}`, `${fix} (${variable})`]
  const tls = url.protocol === 'http:' ? ', and write https:// if this port requires TLS' : ''
  return [
    'unreachable',
    `the target cannot be reached or does not answer: ${at}`,
    `check ${variable} and the network${tls}`,
  ]
}

/** Explains what is wrong with a target, and the remedy. */
export function adviseTarget(error: unknown, address: TargetAddress) {
  if (error instanceof ProxyError) {
    const fix = 'check HTTPS_PROXY and what the proxy allows, or name the host in NO_PROXY'
    return { code: error.code as Code, says: error.message, fix }
  }
  const isForeign = error instanceof TargetError && error.code === 'relay.target.foreign_answer'
  const foreign = `the outcomes in the answer of the target do not match the notifications sent: ${nameOf(address.url)}`
  const [event, says, fix]: Advice = isForeign
    ? ['foreign_answer', foreign, 'update the functions; check servers between them and the relay']
    : error instanceof TargetError
      ? adviseStatus(error.answer, address)
      : adviseConnection(error, address)
  return { code: `relay.target.${event}` as Code, says, fix }
}

/** Returns what follows from an error of a whole request. Notifications are parked only for an answer about the content itself. */
export function explainTarget(error: unknown, address: TargetAddress): Rejection {
  const { code, says, fix } = adviseTarget(error, address)
  const problem: Problem = { code, text: `${says}: ${fix}; the relay keeps everything and retries` }
  const answer = error instanceof TargetError ? error.answer : undefined
  const status = answer?.statusCode
  const isRefused = status === 413 || status === 422
  return {
    verdict: isRefused ? 'refused' : 'retry',
    reason: status === undefined ? 'no answer' : `HTTP ${status}`,
    detail: error === undefined ? '' : describe(error),
    isForSize: status === 413,
    isAnswer: answer !== undefined,
    isMissing: false,
    afterMs: answer === undefined ? undefined : readRetryAfter(answer),
    problem,
  }
}
