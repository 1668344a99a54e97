/** Why the street cannot be run; the words are for the user and say what to do. */
export class StreetError extends Error {
  override readonly name = 'StreetError'
  /**
   * - `already_runs`: another one uses the same folder.
   * - `no_redis`: no redis-server could be started or reached.
   * - `bad_function`: a file of functions/ cannot be loaded, or exports no handler.
   * - `bad_queues`: the local queues cannot be made.
   * - `not_packaged`: the bundles cannot be made.
   * - `no_parameter`: the value of a parameter of functions/settings.ts is not there.
   * - `no_address`: the API's address cannot be had.
   */
  readonly code:
    'already_runs' | 'not_packaged' | 'no_redis' | 'bad_function' | 'bad_queues' | 'no_parameter' | 'no_address'

  constructor(code: StreetError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
