import { createPrivateKey, X509Certificate } from 'node:crypto'
import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import { describe, RelayError } from '../relay-error.ts'

/** The address of a Redis server, and its credentials. */
export type RedisAddress = {
  /** `redis://` or `rediss://`, without the parameters below. It may contain a password, so it is never logged. */
  readonly url: string
  /** A PEM file with the authorities to trust instead of the system's. */
  readonly caFile?: string
  /** The name in the server's certificate, where it differs from the host's. */
  readonly servername?: string
  /**
   * The relay's own certificate and its key, in PEM, for a server that requires one; and a file with the key's passphrase, if it has one. Like
   * `caFile`, they are read again for each connection, so that they can be replaced while the relay runs.
   */
  readonly certFile?: string
  readonly keyFile?: string
  readonly keyPassphraseFile?: string
  /** Files with the name of the ACL user and the password. They are read again for each connection, so that they can be changed. */
  readonly userFile?: string
  readonly passwordFile?: string
}

/** The remedy for a file that cannot be read. */
export const HOW_TO_READ = 'write the file, and let the user that runs the relay read it'

type Fault = (problem: string, fix: string) => never

const TLS_FILES = ['caFile', 'certFile', 'keyFile', 'keyPassphraseFile'] as const
const FILES = [...TLS_FILES, 'userFile', 'passwordFile'] as const
const PARAMETERS = [...FILES, 'servername'] as const

/**
 * Parses an address: `rediss://dialler:8001?caFile=/etc/enigma/ca.pem&userFile=/etc/enigma/user&passwordFile=/etc/enigma/password`. Checks that the
 * files exist. No message contains the address, because a password may be in it.
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
  if (!succeeds(() => decodeURIComponent(`${url.username}:${url.password}`)))
    return fault(
      `the user or password in the address of "${id}" has a % that is not a percent-encoding`,
      'write % as %25, or use files: userFile=…&passwordFile=…',
    )
  const given: Partial<Record<(typeof PARAMETERS)[number], string>> = {}
  for (const [name, value] of url.searchParams) {
    const parameter = PARAMETERS.find((known) => known === name)
    if (parameter === undefined)
      return fault(`the address of "${id}" has an unknown parameter`, `use only ${PARAMETERS.join(', ')}`)
    if (value === '') return fault(`${name} of "${id}" is empty`, `write ${name}=… or remove it`)
    given[parameter] = value
  }
  for (const name of FILES)
    if (given[name] !== undefined && !isReadable(given[name]))
      return fault(`${name} of "${id}" cannot be read: ${given[name]}`, HOW_TO_READ)
  if (url.protocol === 'rediss:') checkCertificates(id, given, fault)
  else if ([...TLS_FILES, 'servername' as const].some((name) => given[name] !== undefined))
    return fault(`"${id}" has TLS parameters, but its address does not use TLS`, `write ${id}=rediss://…`)
  if (given.passwordFile !== undefined && url.password !== '')
    return fault(`"${id}" has a password in the address and one in a file`, 'remove the one in the address')
  if (given.userFile !== undefined && url.username !== '')
    return fault(`"${id}" has a user in the address and one in a file`, 'remove one of them')
  if (given.userFile !== undefined && given.passwordFile === undefined && url.password === '')
    return fault(`"${id}" has a user but no password`, 'add passwordFile=…')
  url.search = ''
  // Unchanged when there are no parameters to remove.
  return { url: Object.keys(given).length === 0 ? text : url.href, ...given }
}

/** Checks the files of certificates and keys, so that mistakes are reported at the start. */
function checkCertificates(id: string, given: Partial<RedisAddress>, fault: Fault): void {
  const { caFile, certFile, keyFile, keyPassphraseFile } = given
  for (const [name, file, whose] of [
    ['caFile', caFile, "the authority's certificate"],
    ['certFile', certFile, 'the client certificate'],
  ] as const)
    if (file !== undefined && !readFileSync(file, 'utf8').includes('-----BEGIN CERTIFICATE-----'))
      fault(
        `${name} of "${id}" is not a certificate in PEM format: ${file}`,
        `use the file of ${whose}, which contains -----BEGIN CERTIFICATE-----`,
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
    // OpenSSL's own message is not shown, because it would reveal part of the passphrase.
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

/** Returns a list whose only element is read again for each connection, because node-redis keeps the options of the first one. */
const readEachTime = <T>(file: string | undefined, read: (file: string) => T): T[] | undefined =>
  file === undefined ? undefined : Object.defineProperty([] as T[], 0, { get: () => read(file), enumerable: true })

/** Returns Node's options for a TLS connection. */
export const toTlsOptions = ({
  caFile,
  servername,
  certFile,
  keyFile,
  keyPassphraseFile,
}: Omit<RedisAddress, 'url'>) => ({
  ca: readEachTime(caFile, readSecret),
  ...(servername === undefined ? {} : { servername }),
  cert: readEachTime(certFile, readSecret),
  key: readEachTime(keyFile, (file) => ({
    pem: readSecret(file),
    ...(keyPassphraseFile === undefined ? {} : { passphrase: readSecret(keyPassphraseFile) }),
  })),
})

/** Returns node-redis' options for an address. */
export function toClientOptions(address: RedisAddress) {
  const { url, userFile, passwordFile } = address
  const tls = toTlsOptions(address)
  if (passwordFile === undefined && userFile === undefined) return { url, tls }
  const parsed = new URL(url)
  const [user, password] = [decodeURIComponent(parsed.username), decodeURIComponent(parsed.password)]
  // With credentials in the URL, node-redis ignores the provider.
  parsed.username = ''
  parsed.password = ''
  const credentials = async (): Promise<{ username?: string; password: string }> => {
    const username = userFile === undefined ? user : readSecret(userFile)
    return {
      ...(username === '' ? {} : { username }),
      password: passwordFile === undefined ? password : readSecret(passwordFile),
    }
  }
  return { url: parsed.href, tls, credentialsProvider: { type: 'async-credentials-provider' as const, credentials } }
}

/** Returns the secret files that every user of the host can read. */
export const looseSecrets = ({ passwordFile, userFile, keyFile, keyPassphraseFile }: RedisAddress): string[] =>
  looseFiles([passwordFile, userFile, keyFile, keyPassphraseFile])

export const looseFiles = (files: readonly (string | undefined)[]): string[] =>
  files
    .filter((file) => file !== undefined)
    // A file that is being replaced is checked the next time.
    .filter((file) => ((statSync(file, { throwIfNoEntry: false })?.mode ?? 0) & 0o007) !== 0)

/** Returns the name of the relay's Redis user, or the shell expression that reads it from its file. */
export const userOf = ({ url, userFile }: RedisAddress): string =>
  userFile === undefined ? decodeURIComponent(new URL(url).username) || 'default' : `$(cat ${userFile})`

/** Returns the host without the brackets of IPv6, and the port, also when it is Redis' default. */
export function hostOf({ url }: RedisAddress) {
  const { hostname, port, protocol } = new URL(url)
  return { host: hostname.replace(/^\[|\]$/g, ''), port: port || '6379', isTls: protocol === 'rediss:' }
}

/**
 * Returns the command line that reaches this server: `redis-cli -h dialler -p 8001`. It has no user and password, because a remedy needs those of an
 * administrator.
 */
export function redisCli(source: RedisAddress): string {
  const { host, port, isTls } = hostOf(source)
  const { caFile, certFile, keyFile, servername } = source
  const files = { cacert: caFile, cert: certFile, key: keyFile, sni: servername }
  const options = Object.entries(files).flatMap(([name, value]) => (value === undefined ? [] : [`--${name} ${value}`]))
  return [`redis-cli -h ${host} -p ${port}`, ...(isTls ? ['--tls'] : []), ...options].join(' ')
}

/**
 * Reads a secret without the newline that editors append. An empty file is being written: without a password, node-redis would not log in, and would
 * keep a connection on which every command is refused. @throws RelayError `relay.redis.no_secret` when the file cannot be read or is empty
 */
export function readSecret(file: string): string {
  try {
    const secret = readLine(file)
    if (secret !== '') return secret
  } catch (error) {
    throw new RelayError('relay.redis.no_secret', `a file cannot be read: ${describe(error)}`)
  }
  throw new RelayError('relay.redis.no_secret', `${file} is empty`)
}

export const isReadable = (file: string): boolean =>
  succeeds(() => accessSync(file, constants.R_OK)) && statSync(file).isFile()

const readLine = (file: string): string => readFileSync(file, 'utf8').replace(/\r?\n$/, '')

function succeeds(step: () => unknown): boolean {
  try {
    step()
    return true
  } catch {
    return false
  }
}
