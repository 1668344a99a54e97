/** Says why a command failed; the message is for whoever ran it, and says what to do. docs/logs.md explains each code. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly code: 'cli.dev.no_clone' | 'cli.doctor.failed' | 'cli.queues.not_created'

  constructor(code: CliError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
