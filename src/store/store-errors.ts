/** Says what failed between this process and the database. The text never holds a command: commands hold personal data. */
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
 * An effect that the read model can never store: it is too large (413), or is not made of steps as they are described (422). Like Hono's own errors
 * it carries its answer, so that the adapter parks the notification when a handler lets the error pass.
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
