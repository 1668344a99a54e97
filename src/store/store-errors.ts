/** A failure between this process and the database. The message never contains a command, since commands contain personal data. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code:
    | 'store.upstash.unreachable'
    | 'store.upstash.timeout'
    | 'store.upstash.throttled'
    | 'store.upstash.unauthorized'
    | 'store.upstash.too_large'
    | 'store.upstash.full'
    | 'store.upstash.refused'
    | 'store.upstash.unexpected_reply'
    | 'store.address.missing'
    | 'store.cursor.invalid'
  /** Whether the same request may succeed later. */
  readonly retryable: boolean

  constructor(code: StoreError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.retryable = RETRYABLE.has(code)
  }
}

const RETRYABLE: ReadonlySet<StoreError['code']> = new Set([
  'store.upstash.unreachable',
  'store.upstash.timeout',
  'store.upstash.throttled',
  'store.upstash.unexpected_reply',
])

/**
 * An effect that the read model can never store: it is too large (413), or it does not consist of valid steps (422). Like Hono's own
 * errors, it carries its response. The adapter therefore parks the notification if a handler does not catch the error.
 */
export class EffectError extends Error {
  override readonly name = 'EffectError'
  readonly code: 'store.effect.too_large' | 'store.effect.invalid'

  constructor(message: string, code: EffectError['code'] = 'store.effect.too_large') {
    super(message)
    this.code = code
  }

  getResponse(): Response {
    const [status, title] =
      this.code === 'store.effect.too_large'
        ? [413, 'The notification is too large for the read model']
        : [422, 'The effect is not valid']
    const problem = { type: 'about:blank', title, status, detail: this.message }
    return new Response(JSON.stringify(problem), {
      status,
      headers: { 'content-type': 'application/problem+json' },
    })
  }
}
