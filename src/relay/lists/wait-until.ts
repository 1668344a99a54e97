/** Resolves when the condition holds, looking again whenever the listeners are called, or when the signal aborts. */
export async function waitUntil(
  condition: () => boolean,
  listeners: Set<() => void>,
  signal: AbortSignal,
): Promise<void> {
  if (condition() || signal.aborted) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const look = () => {
    if (condition() || signal.aborted) resolve()
  }
  listeners.add(look)
  signal.addEventListener('abort', look)
  try {
    await promise
  } finally {
    listeners.delete(look)
    signal.removeEventListener('abort', look)
  }
}
