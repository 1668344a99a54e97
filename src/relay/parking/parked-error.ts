/** Why `enigma-relay parked` cannot go on; the message says what to do. */
export class ParkedError extends Error {
  override readonly name = 'ParkedError'
  readonly code: `relay.parked.${
    | 'redis_failed'
    | 'queue_unusable'
    | 'not_announced'
    | 'file_exists'
    | 'file_failed'
    | 'not_found'
    | 'stopped'
    | 'incomplete'}`

  constructor(code: ParkedError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
