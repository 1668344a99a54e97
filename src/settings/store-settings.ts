import type { StoreOptions, UpstashAddress } from '../store/index.ts'
import { readSetting } from './api-settings.ts'
import type { Env } from './settings.ts'

/**
 * The options of the read model by the variables. Its address is in UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN, unless a function returns it.
 *
 * @throws FunctionsError that says what to write
 */
export function readStoreOptions(env: Env, address?: (refused?: string) => Promise<UpstashAddress>): StoreOptions {
  const { UPSTASH_REDIS_REST_URL: url = '', UPSTASH_REDIS_REST_TOKEN: token = '', ENIGMA_STORE_PREFIX } = env
  return {
    prefix: ENIGMA_STORE_PREFIX?.trim() || 'enigma:',
    // How long a call is shown as current at most: two hours by default.
    ...readSetting(
      env,
      'ENIGMA_CALL_LIMIT_SECONDS',
      'functions.call_limit.invalid',
      'a number of seconds; write a whole number such as 7200',
      (text) => (/^[1-9]\d{0,8}$/.test(text) ? { callLimitSeconds: Number(text) } : undefined),
    ),
    // Where the day of today's figures begins: UTC by default.
    ...readSetting(
      env,
      'ENIGMA_TIME_ZONE',
      'functions.time_zone.invalid',
      'a time zone; write a name from the IANA database such as Africa/Johannesburg',
      parseTimeZone,
    ),
    // How long what is parked is kept, and what was deleted of it: 30 and 7 days by default.
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
