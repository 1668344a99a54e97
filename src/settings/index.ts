import type { ApiOptions } from '../api/index.ts'
import type { StoreOptions, UpstashAddress } from '../store/index.ts'

/* Reads the settings that functions, read model and API share on every platform. */

/** An error of a function's platform: in its settings, in Parameter Store, or in a queue. The text contains no secret. */
export class FunctionsError extends Error {
  override readonly name = 'FunctionsError'
  readonly code:
    | 'functions.parameters.refused'
    | 'functions.parameters.missing'
    | 'functions.queues.no_url'
    | 'functions.queues.not_deleted'
    | 'functions.call_limit.invalid'
    | 'functions.time_zone.invalid'
    | 'functions.abandon.invalid'
    | 'functions.events.invalid'
    | 'functions.parked_days.invalid'
    | 'functions.missing_minutes.invalid'
    | 'functions.routes.invalid'
    | 'functions.replay.refused'
    | 'functions.target.invalid'

  constructor(code: FunctionsError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** Variables by name: the environment of a process, or the variables that an edge platform passes with each request. */
export type Env = Readonly<Record<string, string | undefined>>

/** Reads a setting that is at most `maxAgeMs` old. Resolves with '' if it is not set. */
export type ReadSetting = (name: string, maxAgeMs?: number) => Promise<string>

/** The default: reads the environment of the process, if there is one. */
const readProcessEnv: ReadSetting = (name) => Promise.resolve(globalThis.process?.env[name]?.trim() ?? '')

let read = readProcessEnv

/** Sets how `setting` reads. The wiring of Lambda, or `createEdge`, calls it before a handler runs. */
export function provideSettings(own: ReadSetting): void {
  read = own
}

/**
 * Returns the value of a setting, at most `maxAgeMs` old, or '' if it is not set. On Lambda, it is one of the `variables` or `secrets` (in Parameter
 * Store) of a declaration. Elsewhere, it is an environment variable.
 *
 * @example
 * const token = await setting('CRM_TOKEN')
 */
export const setting: ReadSetting = (name, maxAgeMs) => read(name, maxAgeMs)

/** Parses a setting. Returns undefined if it is not set. @throws FunctionsError if `parse` returns undefined */
function readSetting<Option extends object>(
  env: Env,
  name: string,
  code: FunctionsError['code'],
  wanted: string,
  parse: (text: string) => Option | undefined,
): Option | undefined {
  const text = env[name]?.trim() ?? ''
  if (text === '') return undefined
  const option = parse(text)
  if (option === undefined) throw new FunctionsError(code, `${name} is not ${wanted}`)
  return option
}

/** Reads the rule for abandoned calls: `ENIGMA_ABANDON_REASONS`, `ENIGMA_ABANDON_OF` and `ENIGMA_ABANDON_THRESHOLD`, as far as they are set. */
export const readAbandonRule = (env: Env): NonNullable<ApiOptions['abandoned']> => ({
  ...readSetting(
    env,
    'ENIGMA_ABANDON_REASONS',
    'functions.abandon.invalid',
    'a comma-separated list of end reasons; write one such as hungup,callee_hungup',
    (text) => {
      const reasons = text.split(',').map((reason) => reason.trim())
      return reasons.includes('') ? undefined : { reasons }
    },
  ),
  ...readSetting(env, 'ENIGMA_ABANDON_OF', 'functions.abandon.invalid', 'answered or cdrs', (text) =>
    text === 'answered' || text === 'cdrs' ? { of: text } : undefined,
  ),
  ...readSetting(
    env,
    'ENIGMA_ABANDON_THRESHOLD',
    'functions.abandon.invalid',
    'a percentage; write one such as 3%',
    (text) => {
      const [, percent] = /^(\d{1,2}(?:\.\d+)?) ?%$/.exec(text) ?? []
      return percent === undefined ? undefined : { threshold: Number(percent) / 100 }
    },
  ),
})

/**
 * Reads which server streams changes. A long-lived process streams them itself. Lambda charges every second of a stream, so on Lambda a separate
 * function streams: it has `ENIGMA_EVENTS_SECONDS` and answers no other request. The API's function has that address in `ENIGMA_EVENTS_URL`.
 */
export function readEvents(env: Env): Pick<ApiOptions, 'events' | 'eventsUrl' | 'only'> {
  const streams = readSetting(
    env,
    'ENIGMA_EVENTS_SECONDS',
    'functions.events.invalid',
    'a number of seconds, 1 to 899; write a whole number such as 60',
    // Lambda limits an invocation to 15 minutes.
    (text) => (/^[1-8]?\d{1,2}$/.test(text) && Number(text) > 0 ? { limitMs: Number(text) * 1_000 } : undefined),
  )
  if (streams !== undefined) return { events: streams, only: 'events' }
  const elsewhere = readSetting(
    env,
    'ENIGMA_EVENTS_URL',
    'functions.events.invalid',
    'an https URL; write one such as https://stream.example.com/events',
    (text) => (text.startsWith('https://') && URL.canParse(text) ? { eventsUrl: text } : undefined),
  )
  return elsewhere ?? (env['AWS_LAMBDA_FUNCTION_NAME'] === undefined ? { events: {} } : {})
}

/** Reads `ENIGMA_MISSING_MINUTES`: how long to wait for a CDR (`waitMs`) after the agent has left the call. @throws FunctionsError, which names the fix */
export const readMissingWait = (env: Env) =>
  readSetting(
    env,
    'ENIGMA_MISSING_MINUTES',
    'functions.missing_minutes.invalid',
    'a number of minutes, 1 to 1440; write a whole number such as 15',
    (text) => (/^[1-9]\d{0,3}$/.test(text) && Number(text) <= 1_440 ? { waitMs: Number(text) * 60_000 } : undefined),
  )

/**
 * Reads the options of the read model. Its address is in UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN, unless `address` returns it.
 *
 * @throws FunctionsError, which names the fix
 */
export function readStoreOptions(env: Env, address?: (refused?: string) => Promise<UpstashAddress>): StoreOptions {
  const { UPSTASH_REDIS_REST_URL: url = '', UPSTASH_REDIS_REST_TOKEN: token = '', ENIGMA_STORE_PREFIX } = env
  return {
    prefix: ENIGMA_STORE_PREFIX?.trim() || 'enigma:',
    // The longest time for which a call is shown as current. Default: two hours.
    ...readSetting(
      env,
      'ENIGMA_CALL_LIMIT_SECONDS',
      'functions.call_limit.invalid',
      'a number of seconds; write a whole number such as 7200',
      (text) => (/^[1-9]\d{0,8}$/.test(text) ? { callLimitSeconds: Number(text) } : undefined),
    ),
    // The time zone in which the day of today's figures begins. Default: UTC.
    ...readSetting(
      env,
      'ENIGMA_TIME_ZONE',
      'functions.time_zone.invalid',
      'a time zone; write a name from the IANA database such as Africa/Johannesburg',
      parseTimeZone,
    ),
    // How long parked notifications, and deleted ones in the bin, are kept. Default: 30 and 7 days.
    expiries: { ...readDays(env, 'ENIGMA_PARKED_DAYS', 'parked'), ...readDays(env, 'ENIGMA_BIN_DAYS', 'bin') },
    ...(address === undefined ? { url: url.trim(), token } : { address }),
  }
}

function parseTimeZone(text: string): Pick<StoreOptions, 'timeZone'> | undefined {
  try {
    return { timeZone: new Intl.DateTimeFormat('en', { timeZone: text }).resolvedOptions().timeZone }
  } catch {
    return undefined
  }
}

const readDays = (env: Env, name: string, of: 'parked' | 'bin') =>
  readSetting(
    env,
    name,
    'functions.parked_days.invalid',
    'a number of days; write a whole number such as 30',
    (text) => (/^[1-9]\d{0,3}$/.test(text) ? { [of]: Number(text) * 24 * 3600 } : undefined),
  )
