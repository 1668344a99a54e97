import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Route, Routes } from '../../../protocol/index.ts'
import type { Env, EnvReader } from '../../../runtime/index.ts'
import { isReadable, readSecret } from '../../redis/address.ts'

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

/** Returns the seconds; 0 when the variable is not set. */
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
      : fault(`${text} cannot be read`, 'write the file, and let the user that runs the relay read it')
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
