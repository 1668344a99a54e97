/** What is wrong between here and the database. The text never holds a command: commands hold personal data. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: 'unreachable' | 'timeout' | 'throttled' | 'unauthorized' | 'too_large' | 'refused' | 'not_configured' | 'bad_cursor'
  /** Whether the same may succeed later. */
  readonly retryable: boolean

  constructor(code: StoreError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.retryable = code === 'unreachable' || code === 'timeout' || code === 'throttled'
  }
}
