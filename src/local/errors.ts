/** Says why the local street, or a part of it, cannot run; the message is for the user and says what to do. */
export class StreetError extends Error {
  override readonly name = 'StreetError'
  /**
   * - `dev.street.already_running`: another one uses the same folder.
   * - `dev.redis.not_started`: no redis-server could be started or reached.
   * - `dev.functions.invalid`: a file of functions/ cannot be loaded, or exports no handler.
   * - `dev.queues.invalid`: the local queues cannot be made.
   * - `dev.bundles.not_packaged`: the bundles cannot be made.
   * - `dev.parameters.missing`: the value of a secret that a function declares is not there.
   * - `dev.api.no_address`: the API's address cannot be had.
   * - `dev.port.none_free`: there is no free TCP port on 127.0.0.1.
   * - `dev.bundles.bad_template`: the packaged template sets a variable that only CloudFormation can fill in.
   * - `dev.lambda.no_handler`: a bundle exports no handler of the name that the template gives.
   * - `dev.lambda.bad_answer`: a streaming function ended before the head of its answer.
   * - `dev.function.timed_out`: a function did not answer within its time limit.
   * - `dev.simulator.invalid`: the simulator cannot play with these options.
   */
  readonly code:
    | 'dev.port.none_free'
    | 'dev.bundles.bad_template'
    | 'dev.lambda.no_handler'
    | 'dev.lambda.bad_answer'
    | 'dev.function.timed_out'
    | 'dev.simulator.invalid'
    | 'dev.street.already_running'
    | 'dev.bundles.not_packaged'
    | 'dev.redis.not_started'
    | 'dev.functions.invalid'
    | 'dev.queues.invalid'
    | 'dev.parameters.missing'
    | 'dev.api.no_address'

  constructor(code: StreetError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
