/** Says why a packet was not written. */
export class ProducerError extends Error {
  override readonly name = 'ProducerError'
  /**
   * - `producer.write.not_taken`: Redis did not confirm it: not reachable, out of memory, no answer in time … (the reason is the `cause`). Whoever
   *   must not lose it keeps it and writes it again. When only the answer was lost, it is then there twice, as with a real dialler.
   * - `producer.backup.not_kept`: Redis did not take it, and it could not be written to the backup folder either: the disk is full … (the `cause`).
   * - `producer.packet.invalid`: it cannot be written as JSON.
   * - `producer.address.invalid`: the URL is not one of Redis.
   * - `producer.backup.locked`: another producer uses the backup folder.
   * - `producer.backup.unusable`: the backup folder cannot be made, read or written.
   * - `producer.connection.closed`: the producer was closed before.
   * - `producer.backup.copied`: another producer writes with a copy of the backup folder.
   */
  readonly code:
    | 'producer.backup.copied'
    | 'producer.write.not_taken'
    | 'producer.backup.not_kept'
    | 'producer.packet.invalid'
    | 'producer.address.invalid'
    | 'producer.backup.locked'
    | 'producer.backup.unusable'
    | 'producer.connection.closed'
  /** Of several packets, how many of the first ones are in Redis or in the backup; 0 for one alone. Write the rest again. */
  readonly taken: number

  constructor(code: ProducerError['code'], message: string, options: ErrorOptions & { readonly taken?: number } = {}) {
    super(message, options)
    this.code = code
    this.taken = options.taken ?? 0
  }
}
