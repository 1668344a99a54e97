/** What is wrong with a message in one of the formats of this room. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
  readonly code: 'not_cloudevents' | 'not_gzip' | 'bad_payload'

  constructor(code: ProtocolError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
