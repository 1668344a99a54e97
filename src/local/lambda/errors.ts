/** An invocation that came to nothing, by the name that Lambda gives it. */
export class FunctionError extends Error {
  override readonly name = 'FunctionError'
  /** `Sandbox.Timedout`, `Runtime.ExitError`, `Runtime.InitError`, or the type of the error that the handler threw. */
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}
