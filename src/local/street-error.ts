/** Reports that the local street, or a part of it, cannot run. The message tells the user what to do; docs/logs.md explains each code. */
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

/** Returns the message of anything that was thrown, or its name: some errors have no message. */
export const wordsOf = (error: unknown): string =>
  error instanceof Error ? error.message || error.name : String(error)

/** Returns only the error's name, because the message of a function's error can contain personal data. */
export const nameOf = (error: unknown): string => (error instanceof Error ? error.name : typeof error)
