import { createPrivateKey, X509Certificate, createHmac, hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { BATCH_TYPE, type Route, type Routes } from '../../../protocol/index.ts'
import type { Env, EnvReader } from '../../../runtime/index.ts'
import { isReadable, readSecret } from '../../redis/address.ts'
import { RelayError } from '../../relay-error.ts'
import type { Item } from '../../item.ts'
import type { SenderOptions } from '../../sender/sender.ts'
import type { HttpHandler } from '../http-handler.ts'
import type { Parcel, Target } from '../target.ts'
import { explainTarget, nameOf, readOutcomes } from './http-verdict.ts'

/** The destination of a route's notifications: its queue, or the HTTP server at this address. */
export type Destination = 'sqs' | URL

/** How the relay authenticates itself to HTTP servers. Files are read again, so that they can be replaced while the relay runs. */
export type TargetAccess = {
  /** Secrets of Standard Webhooks, the newest first. */
  readonly secret?: string
  readonly secretFile?: string
  /** A bearer token. */
  readonly token?: string
  readonly tokenFile?: string
  /** PEM files: a client certificate and its key, and the authorities to trust instead of the system's. */
  readonly certFile?: string
  readonly keyFile?: string
  readonly caFile?: string
}

export type TargetConfig = {
  /** ENIGMA_TARGET: the destination of every route that `ofRoutes` does not contain. */
  readonly to: Destination
  /** ENIGMA_TARGET_<ROUTE>: destinations by the name of the route. */
  readonly ofRoutes: ReadonlyMap<string, Destination>
  readonly access: TargetAccess
  /** ENIGMA_TARGET_TIMEOUT: how long (s) an HTTP server may work on a request; undefined: as long as the function of the route may run. */
  readonly timeoutSeconds?: number | undefined
}

const PREFIX = 'ENIGMA_TARGET'

/** Settings of all HTTP targets. They cannot be confused with routes: every route's name has a dash, except `other`. */
const SETTINGS = ['TIMEOUT', 'SECRET', 'SECRET_FILE', 'TOKEN', 'TOKEN_FILE', 'CERT', 'KEY', 'CA'].map(
  (name) => `${PREFIX}_${name}`,
)

/** Returns the variable that sets the destination of a route: `ENIGMA_TARGET_AGENTS_CALL`. */
export const variableOf = ({ name }: Pick<Route, 'name'>): string =>
  `${PREFIX}_${name.toUpperCase().replaceAll('-', '_')}`

export const destinationOf = ({ to, ofRoutes }: TargetConfig, { name }: Pick<Route, 'name'>): Destination =>
  ofRoutes.get(name) ?? to

/** Whether any route goes to SQS, so that a region, credentials and queues are needed. */
export const usesSqs = (config: TargetConfig, routes: Routes | undefined): boolean =>
  routes === undefined
    ? [config.to, ...config.ofRoutes.values()].includes('sqs')
    : routes.all.some((route) => destinationOf(config, route) === 'sqs')

type Fault = (problem: string, fix: string) => never

/**
 * Reads ENIGMA_TARGET and the variables that begin with it; undefined when one cannot be used.
 *
 * @param routes the route table that the variables refer to; undefined when it is unknown, and those variables are not read
 */
export function readTargets(env: Env, reader: EnvReader, routes: Routes | undefined): TargetConfig | undefined {
  const to = reader.read(PREFIX, 'sqs', toDestination)
  const ofRoutes = new Map<string, Destination>()
  const names = new Map(routes?.all.map((route) => [variableOf(route), route.name]))
  for (const variable of routes === undefined ? [] : Object.keys(env)) {
    if (!variable.startsWith(`${PREFIX}_`) || SETTINGS.includes(variable) || !env[variable]?.trim()) continue
    const found = reader.read(variable, '', (text, fault): readonly [string, Destination] => {
      const name = names.get(variable)
      const known = [...names.keys()].join(', ')
      if (name === undefined) return fault('names no route of the route table', `write one of ${known}`)
      return [name, toDestination(text, fault)]
    })
    if (found !== undefined) ofRoutes.set(...found)
  }
  const access = readAccess(reader)
  const timeoutSeconds = reader.read(`${PREFIX}_TIMEOUT`, '', toTimeout)
  if (to === undefined || access === undefined || timeoutSeconds === undefined) return undefined
  const isTls = [to, ...ofRoutes.values()].some((one) => one !== 'sqs' && one.protocol === 'https:')
  if ((access.certFile ?? access.caFile) !== undefined && !isTls)
    reader.read(access.certFile === undefined ? `${PREFIX}_CA` : `${PREFIX}_CERT`, '', (_text, fault) =>
      fault('applies only to targets with TLS, and no target uses TLS', `write ${PREFIX}=https://…, or remove it`),
    )
  return { to, ofRoutes, access, timeoutSeconds: timeoutSeconds === 0 ? undefined : timeoutSeconds }
}

/** The longest that a function of a route may run (s), as on Lambda. */
const MAX_TIMEOUT_SECONDS = 900

/** Returns 0 for nothing. */
function toTimeout(text: string, fault: Fault): number {
  const seconds = Number(text)
  if (text !== '' && !(Number.isInteger(seconds) && seconds >= 1 && seconds <= MAX_TIMEOUT_SECONDS))
    return fault(
      `is not a whole number of seconds from 1 to ${MAX_TIMEOUT_SECONDS}`,
      'write how long your server may work on a request, such as 5',
    )
  return seconds
}

function toDestination(text: string, fault: Fault): Destination {
  if (text === 'sqs') return text
  const url = /^https?:\/\/[^\s]+$/.test(text) ? URL.parse(text) : null
  if (url === null)
    return fault('is neither sqs nor an http:// or https:// URL', 'write https://example.com/enigma, or sqs')
  if (url.username !== '' || url.password !== '')
    return fault('has a user or password in the address', `remove it, and set ${PREFIX}_TOKEN or ${PREFIX}_SECRET`)
  if (url.hash !== '') return fault('has a # fragment, which is never sent to a server', 'remove it')
  return url
}

/** Reads the settings that are given; undefined when a variable cannot be used. */
function readAccess(reader: EnvReader): TargetAccess | undefined {
  const toFile = (text: string, fault: Fault): string =>
    text === '' || isReadable(text)
      ? text
      : fault(`${text} cannot be read`, 'create the file, and let the user that runs the relay read it')
  const toSecret = (text: string, fault: Fault): string => {
    if (text !== '' && decodeSecrets(text) === undefined)
      return fault(
        'is not a secret of Standard Webhooks, or two separated by a comma',
        'write whsec_ and base64 of at least 24 bytes: echo whsec_$(openssl rand -base64 32)',
      )
    return text
  }
  const toToken = (text: string, fault: Fault): string =>
    /^[\x21-\x7e]*$/.test(text)
      ? text
      : fault('is not a bearer token', 'write a token of ASCII characters without spaces')
  const inFile =
    (check: (text: string, fault: Fault) => string) =>
    (text: string, fault: Fault): string => {
      if (toFile(text, fault) !== '') check(readSecret(text), fault)
      return text
    }
  const given = {
    secret: reader.read(`${PREFIX}_SECRET`, '', toSecret),
    secretFile: reader.read(`${PREFIX}_SECRET_FILE`, '', inFile(toSecret)),
    token: reader.read(`${PREFIX}_TOKEN`, '', toToken),
    tokenFile: reader.read(`${PREFIX}_TOKEN_FILE`, '', inFile(toToken)),
    certFile: reader.read(`${PREFIX}_CERT`, '', toFile),
    keyFile: reader.read(`${PREFIX}_KEY`, '', toFile),
    caFile: reader.read(`${PREFIX}_CA`, '', (text, fault) => {
      if (toFile(text, fault) === '' || readFileSync(text, 'utf8').includes('-----BEGIN CERTIFICATE-----')) return text
      return fault(`${text} is not a certificate in PEM format`, "use the file of the authority's certificate")
    }),
  }
  for (const name of ['secret', 'token'] as const)
    if (given[name] && given[`${name}File`])
      reader.read(`${PREFIX}_${name.toUpperCase()}`, '', (_text, fault) =>
        fault('is set together with the variable that names its file', 'remove one of the two'),
      )
  const { certFile, keyFile } = given
  if (certFile !== undefined && keyFile !== undefined && certFile + keyFile !== '')
    reader.read(`${PREFIX}_CERT`, '', (_text, fault) => checkPair(certFile, keyFile, fault))
  if (Object.values(given).includes(undefined)) return undefined
  return Object.fromEntries(Object.entries(given).filter(([, text]) => text !== ''))
}

function checkPair(certFile: string, keyFile: string, fault: Fault): void {
  const fix = `set ${PREFIX}_CERT and ${PREFIX}_KEY to PEM files that belong together, the key without a passphrase`
  if (certFile === '' || keyFile === '')
    return fault('has a certificate without a key, or a key without a certificate', fix)
  let isPair = false
  try {
    isPair = new X509Certificate(readFileSync(certFile)).checkPrivateKey(createPrivateKey(readFileSync(keyFile)))
  } catch {
    // OpenSSL's own message would not help.
  }
  if (!isPair) fault(`${certFile} and ${keyFile} are not a certificate and its key`, fix)
}

/**
 * Shorter secrets can be guessed. Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature
 * scheme"
 */
const MIN_SECRET_BYTES = 24

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Decodes the keys in `whsec_<base64>`, or in several of them separated by commas; undefined when one is not such a secret. */
export function decodeSecrets(text: string): readonly Buffer[] | undefined {
  const keys = text.split(',').map((part) => {
    const base64 = /^whsec_(\S+)$/.exec(part.trim())?.[1] ?? ''
    return BASE64.test(base64) ? Buffer.from(base64, 'base64') : Buffer.alloc(0)
  })
  return keys.some((key) => key.length < MIN_SECRET_BYTES) ? undefined : keys
}

/** The signed parts of a message: the id that a repeated message keeps, when it is sent (ms), and its raw bytes. */
export type Signed = { readonly id: string; readonly timeMs: number; readonly body: Uint8Array }

/** Returns the headers of Standard Webhooks, with a signature for each key: while a secret is replaced, the server may know either. */
export function signWebhook(keys: readonly Buffer[], { id, timeMs, body }: Signed): Record<string, string> {
  const timestamp = String(Math.floor(timeMs / 1000))
  const signatures = keys.map(
    (key) => `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64')}`,
  )
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') }
}

export type HttpTargetOptions = Pick<SenderOptions, 'route'> & {
  readonly url: URL
  /** The variable that contains the address. Default: that of the route. */
  readonly variable?: string
  readonly access: TargetAccess
  readonly http: Pick<HttpHandler, 'send'>
  /** How long (s) the server may work on a request. Default: `timeoutSeconds` of the route. */
  readonly timeoutSeconds?: number | undefined
  /** Default: `Date.now`. */
  readonly now?: () => number
}

/**
 * The largest request (bytes): serverless platforms accept it together with its head. One notification alone that is larger is parked. Source:
 * https://vercel.com/docs/functions/limitations (4.5 MB)
 */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024

/** The maximum number of bytes that the batch adds to packs: its brackets, and a comma after each pack. */
const MAX_FRAME_BYTES = 16

/**
 * Creates a target for an HTTP server that accepts batches of CloudEvents. It usually runs the functions before it answers, so a request may take as
 * long as they do, and an answer may settle a pack in part.
 */
export function createHttpTarget({
  url,
  route,
  timeoutSeconds = route.timeoutSeconds,
  variable = variableOf(route),
  access,
  http,
  now = Date.now,
}: HttpTargetOptions): Target {
  const address = { url, variable }
  const path = url.pathname + url.search
  const maxBytes = MAX_REQUEST_BYTES - MAX_FRAME_BYTES
  return {
    kind: 'http',
    name: nameOf(url),
    workMs: timeoutSeconds * 1_000,
    takesGzip: false,
    // Sending shows whether the server is there. A probe would cost money, because every request may run functions.
    find: () => Promise.resolve({ address: url.href, maxBytes }),
    async send(_to, parcels, signal, limitMs) {
      const items = parcels.flatMap(({ pack }) => pack.items)
      const body = formatBatch(items)
      const headers = {
        ...formatHeaders(parcels, items),
        'ce-route': route.name,
        ...authorize(access, { id: toId(items), timeMs: now(), body }),
      }
      const onStart = () => {
        for (const item of items) item.isRedelivery = true
      }
      const request = { path, method: 'POST', headers, body }
      return readOutcomes(await http.send(url.origin, request, { signal, limitMs, onStart }), parcels)
    },
    explain: (error) => explainTarget(error, address),
  }
}

/** The same ids give the same id. */
const toId = (items: readonly Item[]): string => hash('sha256', items.map(({ id }) => id).join('\n'), 'hex')

/** Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md, section 3.3 */
export const CONTENT_TYPE = `${BATCH_TYPE}; charset=utf-8`

const formatHeaders = ([first]: readonly Parcel[], items: readonly Item[]): Record<string, string> => ({
  'content-type': CONTENT_TYPE,
  'ce-attempt': String(first?.pack.attempt ?? 1),
  ...(items.some(({ isRedelivery }) => isRedelivery) ? { 'ce-redelivery': 'true' } : {}),
})

/** Returns the headers that authenticate the sender. @throws RelayError when a file cannot be read, or contains no secret */
export function authorize(access: TargetAccess, signed: Parameters<typeof signWebhook>[1]): Record<string, string> {
  const secret = access.secretFile === undefined ? access.secret : readSecret(access.secretFile)
  const token = access.tokenFile === undefined ? access.token : readSecret(access.tokenFile)
  const keys = secret === undefined ? [] : decodeSecrets(secret)
  if (keys === undefined)
    throw new RelayError('relay.target.no_secret', `${access.secretFile} has no secret of Standard Webhooks`)
  return {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(secret === undefined ? {} : signWebhook(keys, signed)),
  }
}

/** Formats the events as a JSON array. The bytes of packets are copied unchanged from Redis into the request. */
function formatBatch(items: readonly Item[]): Buffer {
  const body = Buffer.allocUnsafeSlow(items.reduce((sum, { bytes }) => sum + bytes + 1, 1))
  let at = body.write('[')
  for (const [index, { head, data }] of items.entries()) {
    if (index > 0) at += body.write(',', at)
    at += body.write(head, at)
    if (data === undefined) continue
    body.set(data, at)
    at += data.length
    at += body.write('}', at)
  }
  at += body.write(']', at)
  return body.subarray(0, at)
}
