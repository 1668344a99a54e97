/** Says what is wrong with a message in one of the formats of this room. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
  /**
   * - `protocol.event.invalid`: the text is not a CloudEvent, or lacks an attribute.
   * - `protocol.body.not_gzip`: the message says that its body is gzipped, and it is not.
   * - `protocol.key.invalid`: a key cannot be made of this type and reference.
   * - `protocol.routes.invalid`: the text is not a route table, or one of its routes has a limit that cannot be kept.
   */
  readonly code:
    'protocol.event.invalid' | 'protocol.body.not_gzip' | 'protocol.key.invalid' | 'protocol.routes.invalid'

  constructor(code: ProtocolError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
