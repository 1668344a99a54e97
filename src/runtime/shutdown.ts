/**
 * A signal that aborts on the first SIGINT or SIGTERM. A second one ends the process at once with 130, for the user who does
 * not want to wait. `dispose` takes the handlers off again.
 */
export function createShutdown(process: NodeJS.Process): { readonly signal: AbortSignal; dispose: () => void } {
  const controller = new AbortController()
  const stop = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(130)
    controller.abort(new Error(`received ${name}`))
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  return {
    signal: controller.signal,
    dispose: () => {
      process.off('SIGINT', stop)
      process.off('SIGTERM', stop)
    },
  }
}
