/** Says why the local street, or a part of it, cannot run; the message is for the user and says what to do. docs/logs.md explains each code. */
export class StreetError extends Error {
  override readonly name = 'StreetError'
  readonly code:
    | 'dev.street.already_running'
    | 'dev.redis.not_started'
    | 'dev.fail.unknown_route'
    | 'dev.functions.invalid'
    | 'dev.queues.invalid'
    | 'dev.bundles.not_packaged'
    | 'dev.parameters.missing'
    | 'dev.api.no_address'
    | 'dev.port.none_free'
    | 'dev.bundles.bad_template'
    | 'dev.lambda.no_handler'
    | 'dev.lambda.bad_answer'
    | 'dev.function.timed_out'

  constructor(code: StreetError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** The words of whatever was thrown; some errors have a name only. */
export const wordsOf = (error: unknown): string =>
  error instanceof Error ? error.message || error.name : String(error)

/** Its name alone: the words of a function's error might hold personal data. */
export const nameOf = (error: unknown): string => (error instanceof Error ? error.name : typeof error)
