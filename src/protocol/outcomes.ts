import type { Notification } from './notification.ts'

/** The outcomes of a batch besides the effects of its handlers: the adapter finds them, the read model keeps them. */
export type Outcomes = {
  /** Notifications that are put aside. They are safe only when the commit of the batch has written them. */
  readonly parked: readonly Parked[]
  /** Attempts that failed and will be repeated: one for each message and reason. */
  readonly failed: readonly Failed[]
  /** Messages that a replay had sent and that are finished now. */
  readonly replayed: readonly Replayed[]
}

/** An attempt that failed. */
export type Failed = {
  readonly messageId: string
  /** 1, 2, 3 … */
  readonly attempt: number
  /** One masked line of at most 500 characters. */
  readonly reason: string
  /** The handler's HTTP status, if it answered. */
  readonly status?: number
  /** The keys of the notifications that failed so. */
  readonly keys: readonly string[]
}

/** A message that a replay had sent, in its SQS message attributes. */
export type Replay = {
  /** The replay's id: `replay`. */
  readonly job: string
  /** The id of the parked entry: `parked`. */
  readonly entry: string
}

/** The outcome of such a message. */
export type Replayed = Replay & {
  readonly messageId: string
  /** It was parked again. */
  readonly hasFailed: boolean
}

/** A notification (or a message that could not be read) that is put aside, with all that sending it again takes. */
export type Parked = {
  /** Of its queue: `agents-call`. */
  readonly route: string
  /** What makes copies of the notification the same; absent for a message that could not be read. */
  readonly key?: string
  /** Absent: the whole message could not be read, and `body` is there instead. */
  readonly notification?: Notification
  /** The message's body as it came, and its `content-encoding`. */
  readonly body?: string
  readonly contentEncoding?: string
  /** One masked line of at most 500 characters. */
  readonly reason: string
  /** The handler's HTTP status, if it answered. */
  readonly status?: number
  /** How often its message was handed out. */
  readonly attempts: number
  /** `agents/call`: which handler gave it up. */
  readonly handler?: string
  readonly messageId: string
  readonly messageGroupId?: string
  readonly eventSourceARN: string
  /** When SQS first handed out its message: ISO 8601. */
  readonly firstReceivedAt?: string
  /** A replay had sent it. */
  readonly replay?: Replay
}
