import type { Dispatcher } from 'undici'

export type HttpAnswer = {
  readonly statusCode: number
  readonly headers: Record<string, string>
  readonly body: Buffer
}
export type HttpLimits = { readonly signal?: AbortSignal | undefined; readonly limitMs: number }

/** One request and its whole answer. undici's own `request` makes a stream of the answer, which costs more than sending it. */
export function exchange(
  dispatcher: Dispatcher,
  options: Dispatcher.DispatchOptions,
  { signal, limitMs }: HttpLimits,
): Promise<HttpAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>()
  const chunks: Buffer[] = []
  let head = { statusCode: 0, headers: {} as Record<string, string> }
  let controller: Dispatcher.DispatchController | undefined
  let given: Error | undefined
  const giveUp = (error: Error) => {
    given = error
    end()
    reject(error)
    controller?.abort(error)
  }
  const onAbort = () => giveUp(namedError('AbortError', 'the request was given up'))
  const timer = setTimeout(() => giveUp(namedError('TimeoutError', `no answer within ${limitMs} ms`)), limitMs)
  const end = () => {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
  signal?.addEventListener('abort', onAbort)
  if (signal?.aborted === true) onAbort()
  else
    dispatcher.dispatch(options, {
      onRequestStart(started) {
        controller = started
        // It waited for a connection meanwhile.
        if (given !== undefined) started.abort(given)
      },
      onResponseStart(_controller, statusCode, headers) {
        head = { statusCode, headers: flatten(headers) }
      },
      onResponseData: (_controller, chunk) => void chunks.push(chunk),
      onResponseEnd() {
        end()
        resolve({ ...head, body: Buffer.concat(chunks) })
      },
      onResponseError(_controller, error) {
        end()
        reject(error)
      },
    })
  return promise
}

export const namedError = (name: string, message: string): Error => Object.assign(new Error(message), { name })

function flatten(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]),
  )
}
