import { createHash, createHmac } from 'node:crypto'
import { describeError } from '../adapter/index.ts'
import { FunctionsError } from '../settings/index.ts'

type ParametersOptions = {
  /** Name of a setting → name of its parameter in Parameter Store. At most ten, the limit of a request. */
  readonly names: Readonly<Record<string, string>>
  /** The settings that may be missing in Parameter Store. Their value is then ''. Default: none. */
  readonly optional?: readonly string[]
  readonly region: string
  readonly credentials: Credentials
  /** The URL of Systems Manager. Default: the public endpoint of the region. */
  readonly endpoint?: string | undefined
  readonly now?: () => number
}

/** Settings that are kept in Parameter Store instead of the configuration of a function, where everybody with access to it would see them. */
export type Parameters = {
  /**
   * Returns all values, by the name of their setting. Returns the values of an earlier read at once and refreshes them in the background, so that
   * a slow Parameter Store delays nothing. They stay valid while Parameter Store does not answer. With `maxAgeMs`, waits for a read that began
   * within that time, or starts one: used after a service rejected a value.
   */
  read: (maxAgeMs?: number) => Promise<Readonly<Record<string, string>>>
}

/** The age (ms) at which values are refreshed, so that a change takes effect within five minutes. */
const REFRESH_MS = 4 * 60_000

/** The time (ms) after which a refresh is repeated if it failed, or if Lambda froze it with the environment. */
const RETRY_MS = 30_000

/** The time limit of a request to Parameter Store (ms). */
const TIMEOUT_MS = 3_000

/** The maximum number of attempts. Parameter Store answers about forty requests per second, and many functions may start at once. */
const MAX_TRIES = 5

/** The maximum number of attempts without any response. */
const MAX_NETWORK_TRIES = 2

/**
 * Reads parameters of AWS Systems Manager, and keeps them while the environment of the function lives. Makes its own requests, because loading
 * the SDK takes longer than everything else in a cold start.
 * Source: GetParameters in the Systems Manager API reference.
 */
export function createParameters({
  names,
  optional = [],
  region,
  credentials,
  endpoint,
  now = Date.now,
}: ParametersOptions): Parameters {
  const address = endpoint || `https://ssm.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}/`
  const body = JSON.stringify({ Names: Object.values(names), WithDecryption: true })
  let last: { readonly values: Readonly<Record<string, string>>; readonly atMs: number } | undefined
  let pendingRead: Promise<void> | undefined
  let lastReadMs = -Infinity

  const request = async (): Promise<Readonly<Record<string, string>>> => {
    const url = new URL(address)
    for (let tries = 1; ; tries++) {
      const headers = signPost({ url, headers: HEADERS, body, service: 'ssm', region, credentials, nowMs: Date.now() })
      let status: number
      let text: string
      try {
        const signal = AbortSignal.timeout(TIMEOUT_MS)
        const answer = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'manual' })
        ;({ status } = answer)
        text = await answer.text()
      } catch (error) {
        // If Lambda froze the environment during a request, its connection is closed by the time it resumes.
        if (tries < MAX_NETWORK_TRIES) continue
        throw error
      }
      if (status === 200) return pick(JSON.parse(text) as Answer)
      const refusal = toRefusal(status, text)
      if (!refusal.isTemporary || tries >= MAX_TRIES)
        throw new FunctionsError(
          'functions.parameters.refused',
          `Parameter Store rejected the request: ${refusal.words}`,
        )
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 100 * 2 ** tries))
    }
  }

  const pick = ({ Parameters: found = [] }: Answer): Readonly<Record<string, string>> => {
    const values = new Map(found.map(({ Name, Value }) => [Name, Value.trim()]))
    const missing = Object.entries(names).filter(([own, name]) => !optional.includes(own) && !values.get(name))
    if (missing.length > 0)
      throw new FunctionsError(
        'functions.parameters.missing',
        `Parameter Store does not have ${missing.map(([, name]) => name).join(', ')}: create each with \`aws ssm put-parameter --type SecureString --name … --value …\``,
      )
    return Object.fromEntries(Object.entries(names).map(([own, name]) => [own, values.get(name) ?? '']))
  }

  /** Reads all values. Never rejects if there are earlier values. */
  const refresh = (): Promise<void> => {
    const startedMs = now()
    lastReadMs = startedMs
    pendingRead = request().then(
      // Of two concurrent reads, the one that began later counts.
      (values) => {
        if (last === undefined || last.atMs <= startedMs) last = { values, atMs: startedMs }
      },
      (error: unknown) => {
        const hasValues = last !== undefined
        if (!hasValues) pendingRead = undefined
        // Logged here because callers may not be allowed to show an error. This one contains no value.
        console.error(JSON.stringify({ ...(hasValues ? STALE : UNREADABLE), error: describeError(error) }))
        if (!hasValues) throw error
      },
    )
    return pendingRead
  }

  return {
    async read(maxAgeMs) {
      const sinceReadMs = now() - lastReadMs
      if (last === undefined) {
        await (pendingRead ?? refresh())
      } else if (maxAgeMs !== undefined) {
        await (sinceReadMs < maxAgeMs ? pendingRead : refresh())
      } else if (now() - last.atMs >= REFRESH_MS && sinceReadMs >= RETRY_MS) void refresh()
      return (last as NonNullable<typeof last>).values
    },
  }
}

const UNREADABLE = {
  level: 'error',
  code: 'functions.parameters.unreadable',
  message: 'the function could not read its parameters from Parameter Store',
}
const STALE = {
  level: 'warn',
  code: 'functions.parameters.stale',
  message: 'the function could not refresh its parameters from Parameter Store; it keeps using the values it has',
}
const HEADERS = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': 'AmazonSSM.GetParameters' }

type Answer = { readonly Parameters?: readonly { readonly Name: string; readonly Value: string }[] }

/** Describes a rejection. The text is for operators: it may name the role and the parameters, but never contains a value. */
function toRefusal(status: number, text: string): { readonly words: string; readonly isTemporary: boolean } {
  let answer: { readonly __type?: string; readonly message?: string; readonly Message?: string } = {}
  try {
    answer = JSON.parse(text) as object
  } catch {
    // The response is from a proxy in between, so only its status is used.
  }
  const { __type: type = '', message, Message } = answer
  const code = type.replace(/^.*#/, '')
  return {
    words: `${code === '' ? status : code} ${message ?? Message ?? ''}`.trim(),
    isTemporary: status === 429 || status >= 500 || /Throttling/.test(code),
  }
}

export type Credentials = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
}

export type Signing = {
  /** A URL without a query. */
  readonly url: URL
  /** The headers, all of which are signed. Names are in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** The name of the service: `ssm`. */
  readonly service: string
  readonly region: string
  readonly credentials: Credentials
  /** The time (Unix ms). */
  readonly nowMs: number
}

/**
 * Signs a POST request to AWS. Returns its headers and those of the signature.
 * Source: "AWS Signature Version 4 for API requests" in the IAM user guide.
 */
export function signPost({ url, headers, body, service, region, credentials, nowMs }: Signing): Record<string, string> {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials
  const date = new Date(nowMs).toISOString().replace(/[-:]|\.\d{3}/g, '')
  const day = date.slice(0, 8)
  const signed = {
    ...headers,
    'x-amz-date': date,
    ...(sessionToken === undefined ? {} : { 'x-amz-security-token': sessionToken }),
  }
  const lines = Object.entries({ ...signed, host: url.host }).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const names = lines.map(([name]) => name).join(';')
  const path = url.pathname.split('/').map(encode).join('/')
  const request = [
    'POST',
    path,
    '',
    ...lines.map(([name, value]) => `${name}:${value.trim().replace(/\s+/g, ' ')}`),
    '',
    names,
    sha256(body),
  ].join('\n')
  const scope = [day, region, service, 'aws4_request'].join('/')
  const key = [day, region, service, 'aws4_request'].reduce<string | Buffer>(
    (former, part) => createHmac('sha256', former).update(part).digest(),
    `AWS4${secretAccessKey}`,
  )
  const signature = createHmac('sha256', key)
    .update(['AWS4-HMAC-SHA256', date, scope, sha256(request)].join('\n'))
    .digest('hex')
  return {
    ...signed,
    authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
  }
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** Escapes a segment of a path as AWS does. */
const encode = (segment: string): string =>
  encodeURIComponent(segment).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
