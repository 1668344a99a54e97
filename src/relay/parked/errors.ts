/** What the command for parked notifications cannot go on with; the message says what to do. */
export class ParkedError extends Error {
  override readonly name = 'ParkedError'
  readonly code: 'redis_failed' | 'queue_unusable' | 'not_announced' | 'file_exists' | 'file_failed'

  constructor(code: ParkedError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
