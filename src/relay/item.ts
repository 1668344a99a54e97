import type { Route, StampedEvent } from '../protocol/index.ts'

/** Who keeps a notification until it is sent: a claim or the journal. */
export type Keeper = {
  /** The target has accepted it: it need not be kept. Called once. */
  settle: (item: Item) => void
  /** It cannot be sent at all: parks it. Resolves when it is parked; retries by itself until then. */
  park: (item: Item, reason: string, detail: string) => Promise<void>
}

/**
 * Gives it a copy of the packet's bytes, in its place. As they came, they are a part of what the connection read at once, and keep all of that
 * in memory: 64 KiB for a packet of 400 bytes. To be called for what stays longer than a request takes.
 */
export function detach(one: { readonly data: Uint8Array | undefined }): void {
  const { data } = one
  if (data !== undefined && data.byteLength < data.buffer.byteLength)
    (one as { data: Uint8Array }).data = new Uint8Array(data)
}

/** A notification on its way through the relay: a CloudEvent in parts (`textOf` joins them), and who keeps it. */
export type Item = StampedEvent & {
  readonly route: Route
  /** The lane of its route. */
  readonly lane: number
  readonly receivedMs: number
  readonly keeper: Keeper
  /** Its place at the keeper: the index in the claim, or the row in the journal. */
  readonly place: number
}
