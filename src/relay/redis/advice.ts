import { ErrorReply } from 'redis'
import type { Code } from '../../runtime/index.ts'
import { describe, RelayError } from '../relay-error.ts'
import { HOW_TO_READ } from './address.ts'

/** What is wrong with a Redis, judged by the error of a command or a connection. Log, readiness and doctor use the same words. */
export type RedisFault = {
  readonly code: Code
  /** The meaning of the error. */
  readonly says: string
  /** The remedy. */
  readonly fix: string
  /** The text of the server or the system. It contains no secret. */
  readonly words: string
}

/** Event → pattern, meaning, remedy. The first pattern that matches counts. */
type Table = Readonly<Record<string, readonly [pattern: RegExp, says: string, fix: string]>>

const CERTIFICATES = 'in ENIGMA_SOURCES (docs/relay.md, "TLS, users and passwords")'
const PLAIN_PORT = [
  'this port does not use TLS',
  'write redis:// instead of rediss:// in ENIGMA_SOURCES, or use the TLS port',
] as const

/**
 * Error replies of Redis. Source: `shared.*err` in server.c, and acl.c, script.c and networking.c of Redis 2.6 to 8 and of Valkey, which word the
 * same refusal in several ways.
 */
const ANSWERS: Table = {
  max_clients: [
    /max number of clients/i,
    'Redis accepts no more connections',
    'raise maxclients, or close connections that nobody needs',
  ],
  protected_mode: [
    /^-?DENIED/,
    'Redis is in protected mode and accepts only local clients',
    'set a password or a bind address in redis.conf',
  ],
  wrong_type: [/^-?WRONGTYPE/, 'this key in ENIGMA_LISTS is not a list', 'correct ENIGMA_LISTS, or delete the key'],
  out_of_memory: [/^-?OOM\b/, 'Redis has reached maxmemory and refuses writes', 'raise maxmemory or free memory'],
  read_only: [/^-?READONLY/, 'this Redis is a read-only replica', "write the primary's address in ENIGMA_SOURCES"],
  primary_down: [
    /^-?MASTERDOWN/,
    'this Redis is a replica that has lost its primary',
    "write the primary's address in ENIGMA_SOURCES, or restart the primary",
  ],
  too_few_replicas: [
    /^-?NOREPLICAS/,
    'Redis refuses writes because it has too few replicas',
    'start its replicas again, or lower min-replicas-to-write',
  ],
  access_denied: [
    /^-?(NOAUTH|WRONGPASS)|invalid password|no password is set|without any password/i,
    'Redis does not accept the user and password',
    'correct the user and password in ENIGMA_SOURCES, preferably in files (docs/relay.md)',
  ],
  loading: [/^-?LOADING/, 'Redis is reading its data from disk', 'wait until it has finished'],
  writes_refused: [
    /^-?MISCONF/,
    'Redis cannot write its data to disk and refuses writes',
    'free disk space on the Redis host',
  ],
  busy: [
    /^-?BUSY\b/,
    'a script or function of another client blocks Redis',
    'wait until it ends, or run SCRIPT KILL or FUNCTION KILL',
  ],
  cluster: [
    /^-?(CLUSTERDOWN|MOVED|ASK|CROSSSLOT|TRYAGAIN)\b/,
    'this is a Redis Cluster, which the relay does not support',
    'write the address of a standalone Redis server in ENIGMA_SOURCES',
  ],
}

/** Errors of Node and OpenSSL on a TLS connection. Sources: doc/api/tls.md ("X509 certificate error codes"), ssl/ssl_err.c of OpenSSL 3. */
const TLS: Table = {
  tls_host_name: [
    /ERR_TLS_CERT_ALTNAME_INVALID/,
    "the server's certificate is for another host name",
    `add servername=… ${CERTIFICATES}`,
  ],
  tls_expired: [/CERT_HAS_EXPIRED/, "the server's certificate has expired", "renew the server's certificate"],
  tls_not_yet_valid: [
    /CERT_NOT_YET_VALID/,
    "the server's certificate is not valid yet",
    'correct the clocks of both hosts',
  ],
  tls_client_certificate: [
    /certificate.required|alert.handshake.failure/i,
    'the server requires a client certificate, or shares no cipher with the relay',
    `add certFile=… and keyFile=… ${CERTIFICATES}, or set tls-auth-clients no in redis.conf`,
  ],
  tls_client_rejected: [
    /alert.(unknown.ca|bad.certificate|certificate.(expired|revoked|unknown)|unsupported.certificate|access.denied|decrypt.error)/i,
    "the server rejects the relay's client certificate",
    `set certFile=… and keyFile=… to a valid certificate from an authority that the server trusts, ${CERTIFICATES}`,
  ],
  tls_version: [
    /alert.protocol.version|unsupported.protocol|no.protocols/i,
    'the server and the relay have no TLS version in common',
    'enable TLS 1.2 or 1.3 on the server (tls-protocols)',
  ],
  plain_port: [/wrong.version.number|packet.length.too.long|record.layer.failure|ERR_SSL_HTTP_REQUEST/i, ...PLAIN_PORT],
  key_passphrase: [
    // A wrong passphrase decrypts to plausible bytes in about one of 250 cases; only the next step then finds that they are no key.
    /bad.decrypt|MISSING_PASSPHRASE|interrupted.or.cancelled|empty.password|bad.password.read|DECODER.routines::unsupported/i,
    'the passphrase of keyFile is missing or wrong, or keyFile is damaged',
    `write the passphrase to a file, and add keyPassphraseFile=… ${CERTIFICATES}`,
  ],
  key_mismatch: [
    /key.values.mismatch|KEY_TYPE_MISMATCH/i,
    'keyFile is not the private key of certFile',
    'use two files that belong together; while both are being replaced, this error passes by itself',
  ],
  tls_file: [
    /ERR_OSSL_|PEM routines/i,
    'a certificate or key file is not valid PEM',
    `check caFile, certFile and keyFile ${CERTIFICATES}`,
  ],
  tls_untrusted: [
    /CERT|ISSUER|SELF_SIGNED|VERIFY/,
    "the server's certificate is not trusted",
    `set caFile=… to the certificate of its authority ${CERTIFICATES}`,
  ],
  unknown_host: [
    /ENOTFOUND|EAI_AGAIN/,
    'the host name of Redis cannot be resolved',
    'correct ENIGMA_SOURCES or the DNS resolver',
  ],
}

const OWN: Readonly<Partial<Record<RelayError['code'], readonly [says: string, fix: string]>>> = {
  'relay.redis.no_secret': ['a user, password, certificate or key file cannot be read or is empty', HOW_TO_READ],
  'relay.redis.tls_port': ['this port requires TLS', 'write rediss:// instead of redis:// in ENIGMA_SOURCES'],
  'relay.redis.plain_port': PLAIN_PORT,
  'relay.redis.not_redis': ['the server at this address is not Redis', 'correct the host and port in ENIGMA_SOURCES'],
}

/** Names the fault of a connection by Node's or OpenSSL's error: `tls_expired`, `plain_port`, …; undefined for anything else. */
export const eventOfConnection = (error: unknown): string | undefined => {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const words = `${code} ${error instanceof Error ? error.message : String(error)}`
  return Object.entries(TLS).find(([, [pattern]]) => pattern.test(words))?.[0]
}

/** Whether the user lacks a right. Inside a script, Redis words the refusal differently, and from 7.0 on without the code NOPERM. */
export const isDenied = (error: unknown): boolean =>
  /NOPERM|The user executing the script can't|ACL failure in script|no permissions to/i.test(describe(error))

/** Whether the server does not have this command or subcommand, or has it under another name. */
export const isUnknown = (error: unknown): boolean =>
  /unknown (sub|redis |valkey |server )?command/i.test(describe(error))

/** Whether a server sent this error. */
export const isAnswer = (error: unknown): boolean => error instanceof ErrorReply

/** Judges an error of a Redis command or connection. */
export function judgeRedis(error: unknown): RedisFault {
  const words = describe(error)
  const fault = (event: string, says: string, fix: string): RedisFault => ({
    code: `relay.redis.${event}`,
    says,
    fix,
    words,
  })
  if (error instanceof RelayError) {
    const { code, message, fix } = error
    const known = fix === undefined ? OWN[code] : ([message, fix] as const)
    if (known !== undefined) return { code, says: known[0], fix: known[1], words: message }
  }
  const own = (error instanceof Error ? error.message : words).replace(/^(ReplyError|ErrorReply|SimpleError): /, '')
  for (const [event, [pattern, says, fix]] of Object.entries(ANSWERS))
    if (pattern.test(own)) return fault(event, says, fix)
  if (isDenied(error)) {
    // `NOPERM User relay has no permissions to run the 'ltrim' command`
    const [, command] = /to run the '([^' ]+)' command/i.exec(words) ?? []
    return fault(
      'no_permission',
      `this Redis user may not run ${command?.toUpperCase() ?? 'a command that the relay needs'}`,
      `grant the user the rights for lists, scripts and Pub/Sub${command === undefined ? '' : `, here +${command}`} (docs/relay.md); "enigma-relay doctor" lists every missing right`,
    )
  }
  if (isUnknown(error))
    return fault(
      'unknown_command',
      'this Redis does not have a command that the relay needs, or the command is renamed',
      'remove rename-command from redis.conf, or upgrade Redis (docs/relay.md)',
    )
  if (isAnswer(error)) return fault('error_reply', 'Redis answered with an error', "follow the server's own message")
  if (/^Unknown RESP type|^Cannot read properties/.test(own))
    return fault(
      'not_understood',
      'the server at this address does not speak the Redis protocol',
      'correct the scheme, host and port in ENIGMA_SOURCES',
    )
  const event = eventOfConnection(error)
  const [, says, fix] = TLS[event ?? ''] ?? []
  if (event !== undefined && says !== undefined && fix !== undefined) return fault(event, says, fix)
  return fault(
    'unreachable',
    'Redis cannot be reached',
    'check that Redis is running and that its address in ENIGMA_SOURCES is right',
  )
}

/** Whether the fault says only that there is no connection, although a server at the address can be asked for the reason. */
export const isUnexplained = ({ code, words }: RedisFault): boolean =>
  (code === 'relay.redis.unreachable' || code === 'relay.redis.not_understood') &&
  !/ECONNREFUSED|EHOSTUNREACH|ENETUNREACH/.test(words)

/** Returns the fault as a sentence for the log. */
export const sentenceOf = ({ says, fix }: RedisFault): string => `${says}: ${fix}; the relay retries`

/** Returns the fault for `/readyz`, with the server's own words. */
export const reasonOf = ({ says, fix, words }: RedisFault): string =>
  `${says}${words === says ? '' : ` (${words})`}: ${fix}`

/** Returns a sentence for the operator about an error; undefined when Redis is unreachable. */
export function redisAdvice(error: unknown): string | undefined {
  const fault = judgeRedis(error)
  return fault.code === 'relay.redis.unreachable' ? undefined : sentenceOf(fault)
}
