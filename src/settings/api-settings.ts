import type { ApiOptions } from '../api/index.ts'
import { FunctionsError } from './function-error.ts'

/** Settings of the read model and of the API that the environment may have. */

type Env = Readonly<Record<string, string | undefined>>

/** A setting as `parse` has it; nothing when it is not set. @throws FunctionsError when `parse` returns undefined */
export function readSetting<Option extends object>(
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

/** Which calls count as abandoned, as far as the environment says so. */
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
 * Who streams changes. A long-lived process does so itself. Lambda charges each second of a stream, so there it is a function of its own:
 * it has `ENIGMA_EVENTS_SECONDS` and answers nothing else, and the function of the API has its address in `ENIGMA_EVENTS_URL`.
 */
export function readEvents(env: Env): Pick<ApiOptions, 'events' | 'eventsUrl' | 'only'> {
  const streams = readSetting(
    env,
    'ENIGMA_EVENTS_SECONDS',
    'functions.events.invalid',
    'a number of seconds, 1 to 899; write a whole number such as 60',
    // A function runs for 15 minutes at most.
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

/** `ENIGMA_MISSING_MINUTES`: how long (`waitMs`) a CDR is waited for after its agent has left the call. @throws FunctionsError that says what to write */
export const readMissingWait = (env: Env) =>
  readSetting(
    env,
    'ENIGMA_MISSING_MINUTES',
    'functions.missing_minutes.invalid',
    'a number of minutes, 1 to 1440; write a whole number such as 15',
    (text) => (/^[1-9]\d{0,3}$/.test(text) && Number(text) <= 1_440 ? { waitMs: Number(text) * 60_000 } : undefined),
  )
