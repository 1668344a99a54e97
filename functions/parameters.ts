import { FunctionsError } from './functions-error.ts'
import { post } from './post.ts'
import { signPost, type Credentials } from './signature.ts'

export type ParametersOptions = {
  /** What a value is called here → its name in Parameter Store. At most ten: one request asks for all. */
  readonly names: Readonly<Record<string, string>>
  readonly region: string
  readonly credentials: Credentials
  /** Default: the region's own. */
  readonly endpoint?: string | undefined
  readonly now?: () => number
}

/** Values that are not in the configuration of a function, since whoever may see that would see them too. */
export type Parameters = {
  /** All values, by what they are called here; at most so old (ms). An older one is good as long as Parameter Store does not answer. */
  read: (maxAgeMs?: number) => Promise<Readonly<Record<string, string>>>
}

/** A parameter that was changed counts everywhere after so long (ms). */
const FRESH_MS = 5 * 60_000

/** So long (ms) may Parameter Store take to answer. */
const TIMEOUT_MS = 3_000

/** Parameter Store answers some forty requests a second, and many functions may start at once. */
const TRIES = 5

/**
 * Reads parameters of AWS Systems Manager, kept while the environment of the function lives. A request by hand, since loading the SDK
 * takes longer than all else that a cold start does.
 * Source: GetParameters in the Systems Manager API reference.
 */
export function createParameters({
  names,
  region,
  credentials,
  endpoint,
  now = Date.now,
}: ParametersOptions): Parameters {
  const address = endpoint ?? `https://ssm.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}/`
  const body = JSON.stringify({ Names: Object.values(names), WithDecryption: true })
  let last: { readonly values: Readonly<Record<string, string>>; readonly atMs: number } | undefined
  let asking: Promise<Readonly<Record<string, string>>> | undefined

  const ask = async (): Promise<Readonly<Record<string, string>>> => {
    const url = new URL(address)
    for (let tries = 1; ; tries++) {
      const headers = signPost({ url, headers: HEADERS, body, service: 'ssm', region, credentials, nowMs: Date.now() })
      const { status, text } = await post(url, { headers, body, signal: AbortSignal.timeout(TIMEOUT_MS) })
      if (status === 200) return pick(JSON.parse(text) as Answer)
      const refusal = toRefusal(status, text)
      if (!refusal.isPassing || tries >= TRIES)
        throw new FunctionsError(
          'functions.parameters.refused',
          `Parameter Store refused the request: ${refusal.words}`,
        )
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 100 * 2 ** tries))
    }
  }

  const pick = ({ Parameters: found = [] }: Answer): Readonly<Record<string, string>> => {
    const values = new Map(found.map(({ Name, Value }) => [Name, Value.trim()]))
    const missing = Object.values(names).filter((name) => (values.get(name) ?? '') === '')
    if (missing.length > 0) {
      throw new FunctionsError(
        'functions.parameters.missing',
        `Parameter Store has no ${missing.join(', ')}: make each with \`aws ssm put-parameter --type SecureString --name … --value …\``,
      )
    }
    return Object.fromEntries(Object.entries(names).map(([own, name]) => [own, values.get(name) as string]))
  }

  return {
    async read(maxAgeMs = FRESH_MS) {
      if (last !== undefined && now() - last.atMs < maxAgeMs) return last.values
      asking ??= ask().finally(() => {
        asking = undefined
      })
      try {
        last = { values: await asking, atMs: now() }
      } catch (error) {
        if (last === undefined) {
          // Said here: whoever asked may have to keep the words of an error to himself, and this one holds no value.
          console.error(
            JSON.stringify({
              level: 'error',
              code: 'functions.parameters.unreadable',
              message: 'the parameters cannot be read from Parameter Store',
              error: String(error),
            }),
          )
          throw error
        }
        console.warn(
          JSON.stringify({
            level: 'warn',
            code: 'functions.parameters.stale',
            message:
              'the parameters could not be refreshed from Parameter Store; the function goes on with the values it has',
            error: String(error),
          }),
        )
        last = { values: last.values, atMs: now() }
      }
      return last.values
    },
  }
}

const HEADERS = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': 'AmazonSSM.GetParameters' }

type Answer = { readonly Parameters?: readonly { readonly Name: string; readonly Value: string }[] }

/** Its text may name the role and the parameters, and is for the operator: no value is ever in it. */
function toRefusal(status: number, text: string): { readonly words: string; readonly isPassing: boolean } {
  const { __type: type = '', message, Message } = parse(text)
  const code = type.replace(/^.*#/, '')
  return {
    words: `${code === '' ? status : code} ${message ?? Message ?? ''}`.trim(),
    isPassing: status === 429 || status >= 500 || /Throttling/.test(code),
  }
}

function parse(text: string): { readonly __type?: string; readonly message?: string; readonly Message?: string } {
  try {
    return JSON.parse(text) as object
  } catch {
    return {}
  }
}
