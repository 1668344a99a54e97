/** Why a request was given up before SQS answered it. */
export class RequestError extends Error {
  override readonly name = 'RequestError'
  readonly code: 'relay.sqs.no_answer' | 'relay.sqs.stopping'

  constructor(code: RequestError['code'], message: string) {
    super(message)
    this.code = code
  }
}

/** How long (ms) a request may stay unanswered before another one is sent to see whether SQS answers at all. */
const SILENT_MS = 1_000

type Open<Input, Output> = {
  readonly input: Input
  readonly startedMs: number
  readonly abort: AbortController
  readonly resolve: (output: Output) => void
  readonly reject: (error: unknown) => void
}

/**
 * Requests to SQS, with a watch over those that stay unanswered. A request may take long, on a slow line; but one that hangs (SQS was
 * stuck, packets vanished) would keep its lanes waiting until its time limit, long after all is well. So while the oldest is
 * unanswered, the same request is sent again every second, beside it: SQS knows the copy by its deduplication ids. What is
 * answered first counts. When the copy is, SQS is well, and what was sent before it and is still unanswered fails at once, to be
 * tried again.
 *
 * `attempt` sends a request; it rejects when the signal aborts, and an error that SQS answered carries `$metadata.httpStatusCode`.
 */
export function createRequests<Input, Output>(
  attempt: (input: Input, signal: AbortSignal) => Promise<Output>,
  silentMs: number = SILENT_MS,
) {
  /** In the order in which they were sent. */
  const open = new Set<Open<Input, Output>>()
  let copy: { readonly of: Open<Input, Output>; readonly abort: AbortController } | undefined
  let timer: NodeJS.Timeout | undefined

  const watch = () => {
    timer = undefined
    const [oldest] = open
    if (oldest === undefined) return
    const left = silentMs - (performance.now() - oldest.startedMs)
    if (left <= 0) void sendCopy(oldest)
    timer = setTimeout(watch, left > 0 ? left : silentMs).unref()
  }

  const sendCopy = async (of: Open<Input, Output>): Promise<void> => {
    copy?.abort.abort()
    const abort = new AbortController()
    const startedMs = performance.now()
    copy = { of, abort }
    try {
      of.resolve(await attempt(of.input, abort.signal))
    } catch (error) {
      if (!isAnswer(error)) return
      of.reject(error)
    }
    of.abort.abort()
    for (const other of open) {
      if (other === of || other.startedMs > startedMs - silentMs) continue
      other.reject(
        new RequestError(
          'relay.sqs.no_answer',
          `SQS did not answer within ${Math.round(performance.now() - other.startedMs)} ms, though it answers others`,
        ),
      )
      other.abort.abort()
    }
  }

  return {
    /** @throws what `attempt` throws, or that SQS did not answer this one though it answers others */
    async send(input: Input): Promise<Output> {
      const { promise, resolve, reject } = Promise.withResolvers<Output>()
      const one = { input, startedMs: performance.now(), abort: new AbortController(), resolve, reject }
      open.add(one)
      timer ??= setTimeout(watch, silentMs).unref()
      attempt(input, one.abort.signal).then(resolve, reject)
      try {
        return await promise
      } finally {
        open.delete(one)
        if (copy?.of === one) copy.abort.abort()
      }
    },
    /** Gives up what is open: it fails. To be called when nothing more is sent. */
    close(): void {
      clearTimeout(timer)
      copy?.abort.abort()
      for (const { abort, reject } of open) {
        reject(new RequestError('relay.sqs.stopping', 'the relay stops'))
        abort.abort()
      }
    },
    get size(): number {
      return open.size
    },
  }
}

const isAnswer = (error: unknown): boolean =>
  (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode !== undefined
