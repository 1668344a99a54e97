/** Why a packet was not written. */
export class ProducerError extends Error {
  override readonly name = 'ProducerError'
  /**
   * - `not_taken`: Redis did not confirm it: not reachable, out of memory, no answer in time … (the reason is the `cause`). Whoever
   *   must not lose it keeps it and writes it again. When only the answer was lost, it is then there twice, as with a real dialler.
   * - `not_kept`: Redis did not take it, and it could not be written to the backup folder either: the disk is full … (the `cause`).
   * - `bad_packet`: it cannot be written as JSON.
   * - `bad_address`: the URL is not one of Redis.
   * - `backup_locked`: another producer uses the backup folder.
   * - `backup_unusable`: the backup folder cannot be made, read or written.
   * - `closed`: the producer was closed before.
   */
  readonly code:
    'not_taken' | 'not_kept' | 'bad_packet' | 'bad_address' | 'backup_locked' | 'backup_unusable' | 'closed'
  /** Of several packets, how many of the first ones are in Redis or in the backup; 0 for one alone. Write the rest again. */
  readonly taken: number

  constructor(code: ProducerError['code'], message: string, options: ErrorOptions & { readonly taken?: number } = {}) {
    super(message, options)
    this.code = code
    this.taken = options.taken ?? 0
  }
}
