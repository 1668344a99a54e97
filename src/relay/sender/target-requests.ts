import { SERVER, type Target } from '../targets/target.ts'
import type { Arrival, Shipment, Uplink } from './uplink.ts'

/** Why a request was aborted before the target answered it. */
export class RequestError extends Error {
  override readonly name = 'RequestError'
  readonly code: 'relay.sqs.no_answer' | 'relay.sqs.stopping' | 'relay.target.no_answer' | 'relay.target.stopping'

  constructor(code: RequestError['code'], message: string) {
    super(message)
    this.code = code
  }
}

/** How long (ms) a request may stay unanswered, beyond the time that uplink and server need, before a probe finds out whether the server answers. */
const SILENT_MS = 1_000

export type RequestsOptions<Input> = {
  readonly uplink: Uplink
  /** The target. Default: SQS. */
  readonly target?: Pick<Target, 'kind' | 'workMs'>
  /**
   * Returns the smallest part of a request that the server answers separately, with its size; the request itself when it has no parts. The answer to
   * the part counts as the answer to the request, whose other parts are then unanswered.
   */
  readonly toProbe: (input: Input) => { readonly input: Input; readonly bytes: number }
  /** Whether the server sent this error. */
  readonly isAnswer: (error: unknown) => boolean
  /** Default 1,000. */
  readonly silentMs?: number
}

const SQS: Pick<Target, 'kind' | 'workMs'> = { kind: 'sqs', workMs: 0 }

/** The maximum number of probes at a time: on a slow uplink, one may need longer than the interval. */
const MAX_PROBES = 2

/**
 * Sends requests to a target, and watches those that stay unanswered. A request may take long on a slow uplink. But a request that hangs (the server
 * was stuck, packets were lost) would block its lanes until its time limit, long after the target has recovered. So while a request is overdue, the
 * smallest part of the overdue requests is sent again every second or two as a probe. SQS recognises the copy by its deduplication ids. A server
 * that runs functions recognises it by the header `ce-redelivery`. The first answer counts. When the probe is answered, the server is healthy, and
 * earlier requests that are still unanswered fail at once and are retried. A request that waits only because the uplink is busy, or whose functions
 * may still run, is not overdue: a copy would add to the load.
 *
 * `attempt` sends a request. It rejects when the signal aborts or the limit (ms) has passed.
 */
export function createRequestWatcher<Input, Output>(
  attempt: (input: Input, signal: AbortSignal, limitMs: number) => Promise<Output>,
  { uplink, target = SQS, toProbe, isAnswer, ...options }: RequestsOptions<Input>,
) {
  const { kind, workMs } = target
  const silentMs = (options.silentMs ?? SILENT_MS) + workMs
  const server = SERVER[kind]
  const limitMs = (shipment: Shipment) => uplink.limitMs(shipment) + workMs
  const begin = (input: Input, shipment: Shipment, waitMs: number) => {
    // When (ms) the answer is due.
    const dueMs = performance.now() + waitMs
    return { ...Promise.withResolvers<Output>(), input, shipment, dueMs, abort: new AbortController() }
  }
  type Open = ReturnType<typeof begin>
  /** In the order in which they were sent. */
  const open = new Set<Open>()
  const probes = new Map<AbortController, Open>()
  let timer: NodeJS.Timeout | undefined
  let onIdle: () => unknown = () => undefined

  const watch = () => {
    timer = undefined
    if (open.size === 0) return
    const nowMs = performance.now()
    const all = [...open]
    const overdue = all.filter(({ dueMs }) => dueMs <= nowMs)
    const [first, ...others] = overdue.map((of) => ({ of, ...toProbe(of.input) }))
    let waitMs = Math.min(...all.map(({ dueMs }) => dueMs)) - nowMs
    if (first !== undefined) {
      for (const { shipment } of overdue) uplink.noteOverdue(shipment)
      const smallest = others.reduce((least, other) => (other.bytes < least.bytes ? other : least), first)
      void probe(smallest.of, smallest.input)
      waitMs = silentMs + Math.min(silentMs, uplink.expectedMs({ ahead: smallest.bytes }))
    }
    timer = setTimeout(watch, Math.max(1, waitMs)).unref()
  }

  const endProbe = (abort: AbortController) => {
    probes.delete(abort)
    abort.abort()
  }
  const endProbes = (isMeant: (of: Open) => boolean) => {
    for (const [abort, of] of probes) if (isMeant(of)) endProbe(abort)
  }

  const probe = async (of: Open, input: Input): Promise<void> => {
    const [oldest] = probes.keys()
    if (probes.size >= MAX_PROBES && oldest !== undefined) endProbe(oldest)
    const abort = new AbortController()
    const startedMs = performance.now()
    probes.set(abort, of)
    try {
      const output = await attempt(input, abort.signal, limitMs(of.shipment))
      // The outcome of packs that were not in the probe is unknown: they are retried.
      settle(of, () => of.resolve(output))
    } catch (error) {
      if (!isAnswer(error)) return
      settle(of, () => of.reject(error))
    } finally {
      probes.delete(abort)
    }
    endProbes(() => true)
    for (const other of open) {
      const { sentMs } = other.shipment
      if (sentMs > startedMs - silentMs) continue
      const words = `${server} did not answer within ${Math.round(performance.now() - sentMs)} ms, although it answered later requests`
      const code = kind === 'sqs' ? 'relay.sqs.no_answer' : 'relay.target.no_answer'
      settle(other, () => other.reject(new RequestError(code, words)))
    }
  }

  /** Ends a request that was answered or aborted, and everything that was sent for it. */
  const settle = (one: Open, end: () => void) => {
    open.delete(one)
    end()
    one.abort.abort()
  }

  return {
    /**
     * Sends a request of this size, without its head. @throws what `attempt` throws, or RequestError when the server did not answer this request
     * although it answered later ones
     */
    async send(input: Input, bytes: number): Promise<Output> {
      const shipment = uplink.ship(bytes, workMs > 0)
      const waitMs = silentMs + 2 * uplink.expectedMs(shipment)
      const one = begin(input, shipment, waitMs)
      let arrival: Arrival = 'failed'
      open.add(one)
      timer ??= setTimeout(watch, waitMs).unref()
      attempt(input, one.abort.signal, limitMs(shipment)).then((output) => {
        arrival = 'answered'
        one.resolve(output)
      }, one.reject)
      try {
        return await one.promise
      } catch (error) {
        if (error instanceof Error && error.name === 'TimeoutError') arrival = 'late'
        throw error
      } finally {
        open.delete(one)
        uplink.arrive(shipment, arrival)
        endProbes((of) => of === one)
        if (open.size === 0) onIdle()
      }
    },
    /** Resolves when the open requests are settled, and aborts those that are not by the deadline. Call it when nothing more is sent. */
    async end(deadlineMs: number): Promise<void> {
      if (open.size > 0) {
        const { promise, resolve } = Promise.withResolvers<void>()
        // A turn later, so that the senders of these requests have handled the outcomes.
        onIdle = () => setImmediate(resolve)
        const deadline = setTimeout(resolve, deadlineMs)
        await promise
        clearTimeout(deadline)
      }
      clearTimeout(timer)
      endProbes(() => true)
      const code = kind === 'sqs' ? 'relay.sqs.stopping' : 'relay.target.stopping'
      for (const one of open)
        settle(one, () => one.reject(new RequestError(code, `the relay stopped before ${server} answered`)))
    },
    get size(): number {
      return open.size
    },
  }
}
