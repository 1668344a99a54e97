/** One key press may arrive from the terminal, from npm and from a launcher: so near together (ms), the same signal is one. */
const SAME_PRESS_MS = 1_000

/**
 * A signal that aborts on the first SIGINT or SIGTERM. A second one ends the process at once with 130, for the user who does
 * not want to wait. `dispose` takes the handlers off again.
 */
export function createShutdown(process: NodeJS.Process): { readonly signal: AbortSignal; dispose: () => void } {
  const controller = new AbortController()
  let last: { readonly name: NodeJS.Signals; readonly atMs: number } | undefined
  const stop = (name: NodeJS.Signals) => {
    const atMs = performance.now()
    const isCopy = last !== undefined && last.name === name && atMs - last.atMs < SAME_PRESS_MS
    last = { name, atMs }
    if (isCopy) return
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
