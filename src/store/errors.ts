/** What is wrong between here and the database. The text never holds a command: commands hold personal data. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code:
    'unreachable' | 'timeout' | 'throttled' | 'unauthorized' | 'too_large' | 'refused' | 'not_configured' | 'bad_cursor'
  /** Whether the same may succeed later. */
  readonly retryable: boolean

  constructor(code: StoreError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.retryable = code === 'unreachable' || code === 'timeout' || code === 'throttled'
  }
}

/**
 * A notification that the read model can never take. As the errors of Hono it brings its own answer, a 413, so that a handler which
 * lets it pass has this one parked.
 */
export class EffectError extends Error {
  override readonly name = 'EffectError'
  readonly code = 'too_large'

  getResponse(): Response {
    const problem = { type: 'about:blank', title: 'The read model cannot take it', status: 413, detail: this.message }
    return new Response(JSON.stringify(problem), {
      status: 413,
      headers: { 'content-type': 'application/problem+json' },
    })
  }
}
