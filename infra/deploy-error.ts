/** Reports that a build, a package or a deployment failed. The message tells the user what to do. */
export class DeployError extends Error {
  override readonly name = 'DeployError'
  /**
   * - `deploy.options.invalid`: a parameter of the deployment has a fault.
   * - `deploy.routes.invalid`: a file of functions/ has an invalid declaration.
   * - `deploy.bundle.too_large`: a function's bundle takes too long to load.
   * - `deploy.console.invalid`: the console's page, scripts and styles do not fit together.
   * - `deploy.console.too_large`: the console's first load is too large.
   * - `deploy.output.not_writable`: the folder dist/ cannot be replaced.
   * - `deploy.openapi.failed`: the read API did not answer with its OpenAPI document.
   */
  readonly code:
    | 'deploy.options.invalid'
    | 'deploy.routes.invalid'
    | 'deploy.bundle.too_large'
    | 'deploy.console.invalid'
    | 'deploy.console.too_large'
    | 'deploy.output.not_writable'
    | 'deploy.openapi.failed'

  constructor(code: DeployError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** Writes the error to standard error, each fault with the code, and returns the exit code: 2 for wrong arguments, else 1. @throws any other error */
export function reportError(error: unknown): number {
  if (!(error instanceof DeployError)) throw error
  const isList = error.code === 'deploy.options.invalid' || error.code === 'deploy.routes.invalid'
  for (const fault of isList ? error.message.split('\n') : [error.message])
    process.stderr.write(`enigma-relay: ${fault} (${error.code})\n`)
  return error.code === 'deploy.options.invalid' ? 2 : 1
}
