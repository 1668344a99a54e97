import type { StoreOptions } from '../store/index.ts'
import { FunctionsError } from './errors.ts'

/** How long a call is shown as current at most: `ENIGMA_CALL_LIMIT_SECONDS`, two hours when it is not set. @throws FunctionsError */
export function readCallLimit(text = ''): Pick<StoreOptions, 'callLimitSeconds'> {
  if (text.trim() === '') return {}
  if (/^[1-9]\d{0,8}$/.test(text.trim())) return { callLimitSeconds: Number(text) }
  throw new FunctionsError(
    'functions.call_limit.invalid',
    'ENIGMA_CALL_LIMIT_SECONDS is not a number of seconds; write a whole number such as 7200',
  )
}

/** Where the day of today's figures begins: `ENIGMA_TIME_ZONE`, UTC when it is not set. @throws FunctionsError */
export function readTimeZone(text = ''): Pick<StoreOptions, 'timeZone'> {
  if (text.trim() === '') return {}
  try {
    return { timeZone: new Intl.DateTimeFormat('en', { timeZone: text.trim() }).resolvedOptions().timeZone }
  } catch {
    throw new FunctionsError(
      'functions.time_zone.invalid',
      'ENIGMA_TIME_ZONE is not a time zone; write one of the IANA database such as Africa/Johannesburg',
    )
  }
}

/** How long what is parked is kept: `ENIGMA_PARKED_DAYS`, 30 when it is not set. @throws FunctionsError */
export function readParkedDays(text = ''): Pick<StoreOptions, 'expiries'> {
  if (text.trim() === '') return {}
  if (/^[1-9]\d{0,3}$/.test(text.trim())) return { expiries: { parked: Number(text) * 24 * 3600 } }
  throw new FunctionsError(
    'functions.parked_days.invalid',
    'ENIGMA_PARKED_DAYS is not a number of days; write a whole number such as 30',
  )
}
