import type { Route } from '../protocol/index.ts'

/** Who keeps a notification until SQS has it: a claim or the journal. */
export type Keeper = {
  /** SQS has it: it need not be kept. Called once. */
  settle: (item: Item) => void
  /** It cannot be sent at all: put it aside. Resolves when it is aside; retries by itself until then. */
  park: (item: Item, reason: string, detail: string) => Promise<void>
}

/** A notification on its way through the relay. */
export type Item = {
  readonly id: string
  readonly route: Route
  /** The lane of its route. */
  readonly lane: number
  /** The CloudEvent, as it goes into a message body. */
  readonly event: string
  /** Of `event`, in UTF-8. */
  readonly bytes: number
  readonly receivedMs: number
  readonly keeper: Keeper
  /** Its place at the keeper: the index in the claim, or the row in the journal. */
  readonly place: number
}
