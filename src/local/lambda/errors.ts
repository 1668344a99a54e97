/** Says why an invocation failed, with the name that Lambda gives the failure. */
export class FunctionError extends Error {
  override readonly name = 'FunctionError'
  readonly code = 'dev.lambda.failed'
  /** `Sandbox.Timedout`, `Runtime.ExitError`, `Runtime.InitError`, or the type of the error that the handler threw. */
  readonly errorType: string

  constructor(errorType: string, message: string) {
    super(message)
    this.errorType = errorType
  }
}
