import { ErrorReply } from 'redis'
import type { Code } from '../runtime/index.ts'
import { describe, RelayError } from './errors.ts'

/** What is wrong with a Redis, from the error of a command or of a connection. Log, readiness and doctor say the same of it. */
export type RedisFault = {
  readonly code: Code
  /** What it means. */
  readonly says: string
  /** What mends it. */
  readonly fix: string
  /** The server's, or the system's own words. No secret is in them. */
  readonly words: string
}

type Known = readonly [pattern: RegExp, event: string, says: string, fix: string]

const CREDENTIALS = 'correct user and password in ENIGMA_SOURCES, best in files (docs/relay.md)'
const CERTIFICATES = 'in ENIGMA_SOURCES (docs/relay.md, "TLS, users and passwords")'

/**
 * What Redis answers with. Source: `shared.*err` in server.c, and acl.c, script.c and networking.c of Redis 2.6 to 8 and of Valkey, which
 * word the same refusal in several ways.
 */
const ANSWERS: readonly Known[] = [
  [
    /max number of clients/i,
    'max_clients',
    'Redis has no room for another connection',
    'raise maxclients, or end clients that nobody needs',
  ],
  [
    /^-?DENIED/,
    'protected_mode',
    'Redis is in protected mode and lets in local clients only',
    'give Redis a password or a bind address',
  ],
  [/^-?WRONGTYPE/, 'wrong_type', 'this key of ENIGMA_LISTS is not a list', 'name the right one, or delete the key'],
  [/^-?OOM\b/, 'out_of_memory', 'Redis is out of memory and refuses to copy', 'raise maxmemory or free some'],
  [/^-?READONLY/, 'read_only', 'this Redis is a read-only replica', 'name the primary in ENIGMA_SOURCES'],
  [
    /^-?MASTERDOWN/,
    'primary_down',
    'this Redis is a replica that has lost its primary',
    'name the primary in ENIGMA_SOURCES, or bring it back',
  ],
  [
    /^-?NOREPLICAS/,
    'too_few_replicas',
    'Redis refuses writes: too few replicas follow it',
    'bring its replicas back, or lower min-replicas-to-write',
  ],
  [
    /^-?(NOAUTH|WRONGPASS)|invalid password|no password is set|without any password/i,
    'access_denied',
    'Redis does not let the relay in',
    CREDENTIALS,
  ],
  [/^-?LOADING/, 'loading', 'Redis is reading its data from disk', 'wait until it has, it needs no more'],
  [/^-?MISCONF/, 'writes_refused', 'Redis cannot write its data to disk and refuses writes', 'free its disk'],
  [
    /^-?BUSY\b/,
    'busy',
    'Redis is busy with a script or function of somebody',
    'wait until it ends, or give SCRIPT KILL or FUNCTION KILL',
  ],
  [
    /^-?(CLUSTERDOWN|MOVED|ASK|CROSSSLOT|TRYAGAIN)\b/,
    'cluster',
    'this is a Redis Cluster, and the relay reads single servers',
    'name a server that is none in ENIGMA_SOURCES',
  ],
]

/** What Node and OpenSSL say of a TLS connection. Sources: doc/api/tls.md ("X509 certificate error codes"), ssl/ssl_err.c of OpenSSL 3. */
const TLS: readonly Known[] = [
  [
    /ERR_TLS_CERT_ALTNAME_INVALID/,
    'tls_host_name',
    "the server's certificate is for another name",
    `write servername=… ${CERTIFICATES}`,
  ],
  [/CERT_HAS_EXPIRED/, 'tls_expired', "the server's certificate has expired", "renew the server's certificate"],
  [
    /CERT_NOT_YET_VALID/,
    'tls_not_yet_valid',
    "the server's certificate is not valid yet",
    'set the clocks of both machines',
  ],
  [
    /certificate.required|alert.handshake.failure/i,
    'tls_client_certificate',
    'the server wants a certificate of the relay, or shares no cipher with it',
    `name one by certFile=… and keyFile=… ${CERTIFICATES}, or set tls-auth-clients no`,
  ],
  [
    /alert.(unknown.ca|bad.certificate|certificate.(expired|revoked|unknown)|unsupported.certificate|access.denied|decrypt.error)/i,
    'tls_client_rejected',
    "the server rejects the relay's certificate",
    `name by certFile=… and keyFile=… a valid one that an authority of the server has signed, ${CERTIFICATES}`,
  ],
  [
    /alert.protocol.version|unsupported.protocol|no.protocols/i,
    'tls_version',
    'server and relay share no version of TLS',
    'let the server offer TLS 1.2 or 1.3 (tls-protocols)',
  ],
  [
    /wrong.version.number|packet.length.too.long|record.layer.failure|ERR_SSL_HTTP_REQUEST/i,
    'plain_port',
    'this port speaks without TLS',
    'write redis:// in place of rediss:// in ENIGMA_SOURCES, or name the TLS port',
  ],
  [
    /bad.decrypt|MISSING_PASSPHRASE|interrupted.or.cancelled|empty.password|bad.password.read/i,
    'key_passphrase',
    'the passphrase of keyFile is missing or wrong',
    `write it into a file, and name that by keyPassphraseFile=… ${CERTIFICATES}`,
  ],
  [
    /key.values.mismatch|KEY_TYPE_MISMATCH/i,
    'key_mismatch',
    'keyFile is not the key of certFile',
    'name two that belong together; while they are replaced this passes by itself',
  ],
  [
    /ERR_OSSL_|PEM routines/i,
    'tls_file',
    'a file of certificate or key cannot be read as PEM',
    `check caFile, certFile and keyFile ${CERTIFICATES}`,
  ],
  [
    /CERT|ISSUER|SELF_SIGNED|VERIFY/,
    'tls_untrusted',
    "the server's certificate is not trusted",
    `name its authority by caFile=… ${CERTIFICATES}`,
  ],
  [/ENOTFOUND|EAI_AGAIN/, 'unknown_host', 'the host of Redis is not known', 'correct ENIGMA_SOURCES, or the resolver'],
]

const OWN: Readonly<Partial<Record<RelayError['code'], readonly [says: string, fix: string]>>> = {
  'relay.redis.no_secret': [
    'a file with a user or password cannot be read or is empty, or one with a certificate or key',
    'write it, and let the user of the relay read it',
  ],
  'relay.redis.tls_port': ['this port speaks TLS', 'write rediss:// in place of redis:// in ENIGMA_SOURCES'],
  'relay.redis.plain_port': [
    'this port speaks without TLS',
    'write redis:// in place of rediss:// in ENIGMA_SOURCES, or name the TLS port',
  ],
  'relay.redis.not_redis': ['what answers there is no Redis', 'correct host and port in ENIGMA_SOURCES'],
}

/** Redis refuses for want of rights; inside a script it says so in words of its own, from 7.0 on without the code. */
export const isDenied = (error: unknown): boolean =>
  /NOPERM|The user executing the script can't|ACL failure in script|no permissions to/i.test(describe(error))

/** The server does not have this command, or it is renamed away; or not this subcommand. */
export const isUnknown = (error: unknown): boolean =>
  /unknown (sub)?command|unknown subcommand|unknown redis command|unknown valkey command|unknown server command/i.test(
    describe(error),
  )

/** `NOPERM User relay has no permissions to run the 'ltrim' command`: the command, where it is named. */
const deniedCommand = (words: string): string | undefined => /to run the '([^' ]+)' command/i.exec(words)?.[1]

/** Whether a server has said this. Only silence is no answer. */
export const isAnswer = (error: unknown): boolean => error instanceof ErrorReply

/** What an error of a Redis means, and what mends it. */
export function judgeRedis(error: unknown): RedisFault {
  const words = describe(error)
  const fault = (event: string, says: string, fix: string): RedisFault => ({
    code: `relay.redis.${event}`,
    says,
    fix,
    words,
  })
  if (error instanceof RelayError && error.fix !== undefined)
    return { code: error.code, says: error.message, fix: error.fix, words: error.message }
  if (error instanceof RelayError) {
    const own = OWN[error.code]
    if (own !== undefined) return { code: error.code, says: own[0], fix: own[1], words: error.message }
  }
  const own = (error instanceof Error ? error.message : words).replace(/^(ReplyError|ErrorReply|SimpleError): /, '')
  for (const [pattern, ...known] of ANSWERS) if (pattern.test(own)) return fault(...known)
  if (isDenied(error)) {
    const command = deniedCommand(words)
    return fault(
      'no_permission',
      command === undefined
        ? 'Redis refuses a command to this user'
        : `Redis refuses ${command.toUpperCase()} to this user`,
      `give the user rights for lists, scripts and PubSub${command === undefined ? '' : `, here +${command}`} (docs/relay.md); enigma-relay doctor names each`,
    )
  }
  if (isUnknown(error))
    return fault(
      'unknown_command',
      'this Redis does not have a command that the relay needs',
      'see docs/relay.md; is it renamed away?',
    )
  if (isAnswer(error)) return fault('error_reply', 'Redis answers with an error', 'do what its words say')
  if (/^Unknown RESP type|^Cannot read properties/.test(own))
    return fault(
      'not_understood',
      'what answers there does not speak as Redis does',
      'correct scheme, host and port in ENIGMA_SOURCES',
    )
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  for (const [pattern, ...known] of TLS) if (pattern.test(`${code} ${own}`)) return fault(...known)
  return fault('unreachable', 'Redis cannot be reached', 'is it running, and is the address in ENIGMA_SOURCES right?')
}

/** Whether it only says that a connection cannot be had, and not why. */
export const isVague = ({ code }: RedisFault): boolean =>
  code === 'relay.redis.unreachable' || code === 'relay.redis.not_understood'

/** Whether nobody listens at the address, so that nobody can be asked why. */
export const isRefused = ({ words }: RedisFault): boolean => /ECONNREFUSED|EHOSTUNREACH|ENETUNREACH/.test(words)

/** For the log. */
export const sentenceOf = ({ says, fix }: RedisFault): string => `${says}: ${fix}; trying again`

/** For `/readyz`: the server's own words as well. */
export const reasonOf = ({ says, fix, words }: RedisFault): string =>
  `${says}${words === says ? '' : ` (${words})`}: ${fix}`

/** What to do about an error that Redis answered with: a sentence for the operator. Undefined when Redis did not answer. */
export function redisAdvice(error: unknown): string | undefined {
  const fault = judgeRedis(error)
  return fault.code === 'relay.redis.unreachable' ? undefined : sentenceOf(fault)
}

/** What to do about a connection that cannot be had, or that has ended. */
export const connectionAdvice = (error: unknown): string => sentenceOf(judgeRedis(error))
