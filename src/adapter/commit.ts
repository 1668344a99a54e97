import { parseEventType, type Failed, type Outcomes, type Parked } from '../protocol/index.ts'
import { toReason } from './adapter-error.ts'
import { isFinished, readMessage, type Delivered, type Entry, type Message, type SqsRecord } from './message.ts'

/** What the handlers of a whole batch recorded, and what is to be remembered; written in one go. */
export type Commit<Effect> = Outcomes & {
  /** In the order of the batch: message by message, notification by notification. */
  readonly effects: Effect[]
  /**
   * A name → ids of notifications that are finished, which `recall` is asked for by that name. Behind SQS, the name is the id of a message that
   * SQS will hand out again; behind HTTP it covers neighbours in a request of which a part will come again. Add them to what is remembered by
   * that name, and remember them for longer than the notifications may go on being retried.
   */
  readonly done: ReadonlyMap<string, readonly string[]>
}

/**
 * Collects the commit of a batch, once its handlers ran.
 *
 * @param isOneRequest whether all of it comes again while anything of it is left, as a request whose answer is lost may
 */
export function toCommit<Effect>(messages: readonly Message<Effect>[], isOneRequest = false): Commit<Effect> {
  const entries = messages.flatMap((message) => message.entries)
  return {
    effects: entries.flatMap((entry) => entry.effects),
    done: toRemember(messages, isOneRequest),
    parked: [...messages, ...entries].flatMap(({ parked }) => parked ?? []),
    failed: messages.flatMap(toFailed),
    replayed: messages.filter(isFinished).flatMap(({ messageId, replay, parked, entries: own }) => {
      const hasFailed = parked !== undefined || own.some((entry) => entry.parked !== undefined)
      return replay === undefined ? [] : [{ ...replay, hasFailed, messageId }]
    }),
  }
}

export const isEmpty = ({ effects, done, parked, failed, replayed }: Commit<unknown>): boolean =>
  effects.length + done.size + parked.length + failed.length + replayed.length === 0

/** What to remember: all finished notifications of each message that will come again and has got further than before. */
function toRemember(messages: readonly Message<unknown>[], isOneRequest: boolean): Map<string, string[]> {
  const done = new Map<string, string[]>()
  const isLeft = (some: readonly Message<unknown>[]) => some.some((message) => !isFinished(message))
  for (const [memory, own] of Map.groupBy(messages, (message) => message.memory)) {
    const finished = own.flatMap(({ entries }) => entries.filter((entry) => entry.finished))
    if (!isLeft(isOneRequest ? messages : own) || finished.every((entry) => entry.remembered)) continue
    done.set(
      memory,
      finished.map((entry) => entry.key),
    )
  }
  return done
}

function toFailed({ messageId, attempt, entries }: Message<unknown>): Failed[] {
  const failed = entries.flatMap(({ key, failure }) => (failure === undefined ? [] : [{ key, ...failure }]))
  return [...Map.groupBy(failed, ({ status, reason }) => `${status} ${reason}`).values()].map((own) => {
    const [{ key: _, ...failure }] = own as [(typeof failed)[number]]
    return { messageId, attempt, ...failure, keys: own.map(({ key }) => key) }
  })
}

/** Puts one notification aside: it is finished, and the batch's commit writes it. */
export function parkEntry(
  entry: Entry<unknown>,
  { reason, status, maxAgeMs }: { reason: string; status?: number | undefined; maxAgeMs: number | undefined },
): void {
  const { key, notification } = entry
  const types = parseEventType(notification.type)
  const handler = types === undefined ? {} : { handler: `${types.type}/${types.subType}` }
  const answered = status === undefined ? {} : { status }
  const limit = maxAgeMs === undefined ? {} : { maxAgeMs }
  entry.parked = { key, notification, reason, ...answered, ...handler, ...limit, ...about(entry) }
  entry.finished = true
}

/** Puts a message aside that could not be read, as it came. */
export function parkMessage(message: Message<unknown>, reason = message.fault ?? ''): void {
  const { body, contentEncoding } = message
  const encoding = contentEncoding === undefined ? {} : { contentEncoding }
  message.parked = { body, ...encoding, reason: toReason(reason), ...about(message) }
}

/** A message that SQS itself gave up, as a commit that parks each notification in it but the finished ones. */
export async function parkWhole(
  record: SqsRecord,
  reason: string,
  about: {
    readonly route: string
    readonly status?: number
    readonly maxAgeMs?: number | undefined
    readonly finished: ReadonlySet<string>
  },
): Promise<Commit<never>> {
  const message = await readMessage<never>(record, 1, about.route)
  for (const entry of message.entries)
    if (about.finished.has(entry.key)) entry.finished = true
    else parkEntry(entry, { reason, status: about.status, maxAgeMs: about.maxAgeMs })
  if (message.fault !== undefined) parkMessage(message, `${reason}; ${message.fault}`)
  return toCommit([message])
}

function about({ messageId, route, attempt, replay, eventSourceARN, messageGroupId, firstReceivedMs }: Delivered) {
  return {
    route,
    attempts: attempt,
    messageId,
    ...(eventSourceARN === undefined ? {} : { eventSourceARN }),
    ...(messageGroupId === undefined ? {} : { messageGroupId }),
    ...(firstReceivedMs === undefined ? {} : { firstReceivedAt: new Date(firstReceivedMs).toISOString() }),
    ...(replay === undefined ? {} : { replay }),
  } satisfies Partial<Parked>
}
