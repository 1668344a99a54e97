import { createHash, createHmac } from 'node:crypto'
import { describeError } from '../adapter/index.ts'
import { FunctionsError } from '../settings/function-error.ts'

type ParametersOptions = {
  /** What a value is called here → its name in Parameter Store. At most ten: one request asks for all. */
  readonly names: Readonly<Record<string, string>>
  /** Those that need not be there: the value is '' then. Default: none. */
  readonly optional?: readonly string[]
  readonly region: string
  readonly credentials: Credentials
  /** Default: the region's own. */
  readonly endpoint?: string | undefined
  readonly now?: () => number
}

/** Values that are not in the configuration of a function, since whoever may see that would see them too. */
export type Parameters = {
  /**
   * Returns all values, by what they are called here. Values of an earlier read are returned at once and refreshed in the background, so
   * that a slow Parameter Store delays nothing; they are good for as long as it does not answer. With `maxAgeMs`, waits for a read that
   * began within that time, unless one was tried: for a value that somebody refused.
   */
  read: (maxAgeMs?: number) => Promise<Readonly<Record<string, string>>>
}

/** Values of this age (ms) are refreshed, so that a change counts within five minutes. */
const REFRESH_MS = 4 * 60_000

/** A refresh that fails, or that was frozen with the environment, is tried again after this time (ms). */
const RETRY_MS = 30_000

/** So long (ms) may Parameter Store take to answer. */
const TIMEOUT_MS = 3_000

/** Parameter Store answers some forty requests a second, and many functions may start at once. */
const TRIES = 5

/** So many requests may get no answer at all. */
const NETWORK_TRIES = 2

/**
 * Reads parameters of AWS Systems Manager, kept while the environment of the function lives. A request by hand, since loading the SDK
 * takes longer than all else that a cold start does.
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
  let asking: Promise<void> | undefined
  let askedMs = -Infinity

  const ask = async (): Promise<Readonly<Record<string, string>>> => {
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
        // A request that was frozen with the environment meets a connection that is gone.
        if (tries < NETWORK_TRIES) continue
        throw error
      }
      if (status === 200) return pick(JSON.parse(text) as Answer)
      const refusal = toRefusal(status, text)
      if (!refusal.isPassing || tries >= TRIES)
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

  /** Never rejects while there are values. */
  const refresh = (): Promise<void> => {
    const startedMs = now()
    askedMs = startedMs
    asking = ask().then(
      // Of two reads at once, the later one counts.
      (values) => {
        if (last === undefined || last.atMs <= startedMs) last = { values, atMs: startedMs }
      },
      (error: unknown) => {
        const hasValues = last !== undefined
        if (!hasValues) asking = undefined
        // Logged here: whoever asked may have to keep the words of an error to himself, and this one holds no value.
        console.error(JSON.stringify({ ...(hasValues ? STALE : UNREADABLE), error: describeError(error) }))
        if (!hasValues) throw error
      },
    )
    return asking
  }

  return {
    async read(maxAgeMs) {
      const sinceAskedMs = now() - askedMs
      if (last === undefined) {
        await (asking ?? refresh())
      } else if (maxAgeMs !== undefined) {
        await (sinceAskedMs < maxAgeMs ? asking : refresh())
      } else if (now() - last.atMs >= REFRESH_MS && sinceAskedMs >= RETRY_MS) void refresh()
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

/** Its text may name the role and the parameters, and is for the operator: no value is ever in it. */
function toRefusal(status: number, text: string): { readonly words: string; readonly isPassing: boolean } {
  let answer: { readonly __type?: string; readonly message?: string; readonly Message?: string } = {}
  try {
    answer = JSON.parse(text) as object
  } catch {
    // Of something between here and AWS: its status has to do.
  }
  const { __type: type = '', message, Message } = answer
  const code = type.replace(/^.*#/, '')
  return {
    words: `${code === '' ? status : code} ${message ?? Message ?? ''}`.trim(),
    isPassing: status === 429 || status >= 500 || /Throttling/.test(code),
  }
}

export type Credentials = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
}

export type Signing = {
  /** With no query. */
  readonly url: URL
  /** All are signed. Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** `ssm` */
  readonly service: string
  readonly region: string
  readonly credentials: Credentials
  /** Unix ms. */
  readonly nowMs: number
}

/**
 * The headers of a POST to AWS, and those that sign it.
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

/** As AWS escapes a segment of a path. */
const encode = (segment: string): string =>
  encodeURIComponent(segment).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
