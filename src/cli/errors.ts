/** Says why a command failed; the message is for whoever ran it, and says what to do. */
export class CliError extends Error {
  override readonly name = 'CliError'
  /**
   * - `cli.dev.no_clone`: `dev` was run outside a clone of the repository.
   * - `cli.doctor.failed`: at least one check failed.
   * - `cli.queues.not_created`: SQS did not create the queues.
   */
  readonly code: 'cli.dev.no_clone' | 'cli.doctor.failed' | 'cli.queues.not_created'

  constructor(code: CliError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
