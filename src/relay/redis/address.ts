import { createPrivateKey, X509Certificate } from 'node:crypto'
import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import { describe, RelayError } from '../errors.ts'

/** Where a Redis server is, and how to log in. */
export type RedisAddress = {
  /** `redis://` or `rediss://`, without the parameters below; may contain a password, so it is never logged. */
  readonly url: string
  /** A PEM file with the authorities to trust in place of the system's. */
  readonly caFile?: string
  /** The name in the server's certificate, where it is not the host's. */
  readonly servername?: string
  /**
   * The relay's own certificate and its key, in PEM, for a server that wants one; and a file with the key's passphrase, if it has any. Read
   * again for each connection, as `caFile` is, so that they can be replaced while the relay runs.
   */
  readonly certFile?: string
  readonly keyFile?: string
  readonly keyPassphraseFile?: string
  /** Files with the name of the ACL user and the password: read again for each connection, so that they can be changed. */
  readonly userFile?: string
  readonly passwordFile?: string
}

type Fault = (problem: string, fix: string) => never

const TLS_FILES = ['caFile', 'certFile', 'keyFile', 'keyPassphraseFile'] as const
const FILES = [...TLS_FILES, 'userFile', 'passwordFile'] as const
const PARAMETERS = [...FILES, 'servername'] as const
type Parameter = (typeof PARAMETERS)[number]

const isParameter = (name: string): name is Parameter => (PARAMETERS as readonly string[]).includes(name)

/**
 * Reads an address: `rediss://dialler:8001?caFile=/etc/enigma/ca.pem&userFile=/etc/enigma/user&passwordFile=/etc/enigma/password`.
 * Checks that the files exist. No message contains the address, since a password may be in it.
 */
export function parseRedisAddress(id: string, text: string, fault: Fault): RedisAddress {
  const url = /^rediss?:\/\/[^\s]+$/.test(text) ? URL.parse(text) : null
  if (url === null)
    return fault(`the address of "${id}" is not a redis:// or rediss:// URL`, `write ${id}=redis://host:8001`)
  if (!/^\/?\d*$/.test(url.pathname))
    return fault(
      `the path in the address of "${id}" is not a database number`,
      `write ${id}=redis://host:8001, or ${id}=redis://host:8001/1 for database 1`,
    )
  if (!isDecodable(url.username) || !isDecodable(url.password)) {
    return fault(
      `the user or password in the address of "${id}" has a % that is not a percent-encoding`,
      'write % as %25, or use files: userFile=…&passwordFile=…',
    )
  }
  const given: Partial<Record<Parameter, string>> = {}
  for (const [name, value] of url.searchParams) {
    if (!isParameter(name))
      return fault(`the address of "${id}" has an unknown parameter`, `use only ${PARAMETERS.join(', ')}`)
    if (value === '') return fault(`${name} of "${id}" is empty`, `write ${name}=… or remove it`)
    given[name] = value
  }
  for (const name of FILES) {
    const file = given[name]
    if (file !== undefined && !isReadable(file))
      return fault(
        `${name} of "${id}" cannot be read: ${file}`,
        'create the file, and let the user that runs the relay read it',
      )
  }
  if (url.protocol === 'rediss:') checkCertificates(id, given, fault)
  else if ([...TLS_FILES, 'servername' as const].some((name) => given[name] !== undefined)) {
    return fault(`"${id}" has TLS parameters, but its address does not use TLS`, `write ${id}=rediss://…`)
  }
  if (given.passwordFile !== undefined && url.password !== '')
    return fault(`"${id}" has a password in the address and one in a file`, 'remove the one in the address')
  if (given.userFile !== undefined && url.username !== '')
    return fault(`"${id}" has a user in the address and one in a file`, 'remove one of them')
  if (given.userFile !== undefined && given.passwordFile === undefined && url.password === '')
    return fault(`"${id}" has a user but no password`, 'add passwordFile=…')
  url.search = ''
  // Unchanged when there is nothing to remove.
  return { url: Object.keys(given).length === 0 ? text : url.href, ...given }
}

/** Checks the files of certificates and keys, so that mistakes are reported at the start. */
function checkCertificates(
  id: string,
  { caFile, certFile, keyFile, keyPassphraseFile }: Partial<RedisAddress>,
  fault: Fault,
): void {
  for (const [name, file] of [
    ['caFile', caFile],
    ['certFile', certFile],
  ] as const)
    if (file !== undefined && !readFileSync(file, 'utf8').includes('-----BEGIN CERTIFICATE-----'))
      fault(
        `${name} of "${id}" is not a certificate in PEM format: ${file}`,
        `use the file ${name === 'caFile' ? "of the authority's certificate" : 'of the client certificate'}, which contains -----BEGIN CERTIFICATE-----`,
      )
  if ((certFile === undefined) !== (keyFile === undefined))
    fault(`"${id}" has a certificate without a key, or a key without a certificate`, 'write certFile=…&keyFile=…')
  if (keyPassphraseFile !== undefined && keyFile === undefined)
    fault(`"${id}" has a passphrase but no key`, 'add certFile=…&keyFile=…')
  if (certFile === undefined || keyFile === undefined) return
  const key = readFileSync(keyFile)
  const passphrase = keyPassphraseFile === undefined ? undefined : readLine(keyPassphraseFile)
  let isKeyOf = false
  try {
    const parsed = createPrivateKey({ key, ...(passphrase === undefined ? {} : { passphrase }) })
    isKeyOf = new X509Certificate(readFileSync(certFile)).checkPrivateKey(parsed)
  } catch {
    // OpenSSL's own message is not shown: it would reveal something of the passphrase.
    if (!key.includes('PRIVATE KEY-----'))
      fault(
        `keyFile of "${id}" is not a private key in PEM format: ${keyFile}`,
        'use the file of the private key, which contains -----BEGIN PRIVATE KEY-----',
      )
    if (passphrase === undefined)
      fault(
        `keyFile of "${id}" needs a passphrase: ${keyFile}`,
        'write the passphrase to a file, and add keyPassphraseFile=…',
      )
    fault(
      `the passphrase in keyPassphraseFile of "${id}" does not decrypt keyFile, or keyFile is damaged: ${keyPassphraseFile}`,
      'write the right passphrase to that file',
    )
  }
  if (!isKeyOf)
    fault(
      `keyFile of "${id}" is not the private key of certFile: ${keyFile}, ${certFile}`,
      'use two files that belong together',
    )
}

/** A list whose only element is read again for each connection: node-redis keeps the options of the first one. */
function readEachTime<T>(read: () => T): T[] {
  return Object.defineProperty([] as T[], 0, { get: read, enumerable: true })
}

/** Node's options for a TLS connection. */
export function toTlsOptions({ caFile, servername, certFile, keyFile, keyPassphraseFile }: RedisAddress) {
  return {
    ...(caFile === undefined ? {} : { ca: readEachTime(() => readSecret(caFile)) }),
    ...(servername === undefined ? {} : { servername }),
    ...(certFile === undefined ? {} : { cert: readEachTime(() => readSecret(certFile)) }),
    ...(keyFile === undefined
      ? {}
      : {
          key: readEachTime(() => ({
            pem: readSecret(keyFile),
            ...(keyPassphraseFile === undefined ? {} : { passphrase: readSecret(keyPassphraseFile) }),
          })),
        }),
  }
}

/** node-redis' options for an address. */
export function toClientOptions(address: RedisAddress) {
  const { url, userFile, passwordFile } = address
  const tls = toTlsOptions(address)
  if (passwordFile === undefined && userFile === undefined) return { url, tls }
  const parsed = new URL(url)
  const [username, password] = [decodeURIComponent(parsed.username), decodeURIComponent(parsed.password)]
  // With credentials in the URL, node-redis ignores the provider.
  parsed.username = ''
  parsed.password = ''
  return {
    url: parsed.href,
    tls,
    credentialsProvider: {
      type: 'async-credentials-provider' as const,
      credentials: () =>
        new Promise<{ username?: string; password: string }>((resolve) => {
          const user = userFile === undefined ? username : readSecret(userFile)
          resolve({
            ...(user === '' ? {} : { username: user }),
            password: passwordFile === undefined ? password : readSecret(passwordFile),
          })
        }),
    },
  }
}

/** The secret files that every user of the host can read. */
export const looseSecrets = ({ passwordFile, userFile, keyFile, keyPassphraseFile }: RedisAddress): string[] =>
  [passwordFile, userFile, keyFile, keyPassphraseFile]
    .filter((file) => file !== undefined)
    // A file that is being replaced is checked the next time.
    .filter((file) => ((statSync(file, { throwIfNoEntry: false })?.mode ?? 0) & 0o007) !== 0)

/** The name of the relay's Redis user, or the shell expression that reads it from its file. */
export function userOf({ url, userFile }: RedisAddress): string {
  return userFile === undefined ? decodeURIComponent(new URL(url).username) || 'default' : `$(cat ${userFile})`
}

/** The command line that reaches this server: `redis-cli -h dialler -p 8001`. Without user and password, since a fix needs an administrator's. */
export function redisCli(source: RedisAddress): string {
  const { hostname, port, protocol } = new URL(source.url)
  const option = (name: string, value: string | undefined) => (value === undefined ? [] : [`${name} ${value}`])
  return [
    `redis-cli -h ${hostname.replace(/^\[|\]$/g, '')} -p ${port || '6379'}`,
    ...(protocol === 'rediss:' ? ['--tls'] : []),
    ...option('--cacert', source.caFile),
    ...option('--cert', source.certFile),
    ...option('--key', source.keyFile),
    ...option('--sni', source.servername),
  ].join(' ')
}

/**
 * Reads a secret without the newline that editors append. An empty file is being written: without a password node-redis would not log in,
 * and would keep a connection on which every command is refused.
 *
 * @throws RelayError `relay.redis.no_secret` when there is nothing to read
 */
function readSecret(file: string): string {
  try {
    const secret = readLine(file)
    if (secret !== '') return secret
  } catch (error) {
    throw new RelayError('relay.redis.no_secret', `a file cannot be read: ${describe(error)}`)
  }
  throw new RelayError('relay.redis.no_secret', `${file} is empty`)
}

const readLine = (file: string): string => readFileSync(file, 'utf8').replace(/\r?\n$/, '')

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}
