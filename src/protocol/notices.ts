import * as v from 'valibot'
import { formatEvent, parseEvents } from './cloudevents.ts'
import { formatEventType, ProtocolError, toEventSource } from './notification.ts'
import { formatPacket, readPacketText } from './packet.ts'
import { RELAY_TYPE } from './route-table.ts'

/** What the relay says itself: packets of its own, on the routes of the type `relay`. */

/** Why PubSub was not heard, or why notifications that were heard are lost. */
export const GAP_CAUSES = [
  'start',
  'reconnect',
  'heartbeat_lost',
  'output_buffer_overrun',
  'journal_full',
  'journal_damaged',
] as const
export type GapCause = (typeof GAP_CAUSES)[number]

/**
 * A span of time in which PubSub was not heard. The event's `sequence` tells what was heard since: a PubSub notification of the same
 * source with a lower one is from before the gap.
 */
export const RelayGap = v.looseObject({
  /** The source's id: `main`. */
  source: v.string(),
  /** The relay's id. */
  relay: v.string(),
  /** ISO 8601, ms: last heard, and heard again. */
  from: v.string(),
  to: v.string(),
  /** One of `GAP_CAUSES`; the set is open. */
  cause: v.string(),
  /** The PubSub patterns that were not heard. */
  patterns: v.array(v.string()),
  /** `journal_full`, `journal_damaged`: how many notifications are lost, of which route, as far as that is known. */
  lost: v.optional(v.number()),
  route: v.optional(v.string()),
})
export type RelayGap = v.InferOutput<typeof RelayGap>

/** A relay lives and is ready: said once a minute. One that is silent raises an alarm in the cloud. */
export const RelayAlive = v.looseObject({
  /** The relay's id, and the event's `subject`. */
  relay: v.pipe(v.string(), v.nonEmpty('must not be empty')),
  /** The ids of the sources that it reads. */
  sources: v.array(v.string()),
  /** The keys of the lists that it takes items from, in each source; a relay of an older version does not say. */
  lists: v.optional(v.array(v.string())),
  /** ISO 8601, ms: when this process began. */
  started: v.string(),
})
export type RelayAlive = v.InferOutput<typeof RelayAlive>

/** A notification that the relay put aside, or that somebody took from there. The last one, by `sequence`, counts. */
export const RelayParked = v.looseObject({
  source: v.string(),
  /** The notification's id, and the event's `subject`. */
  id: v.string(),
  /** `parked`: it is in the source's list `enigma:relay:parked`; `retried`: SQS has accepted it since; `dropped`: it was deleted by hand. */
  state: v.picklist(['parked', 'retried', 'dropped']),
  /** The route's name: `agents-call`. */
  route: v.string(),
  /** `too_large`, `refused`. */
  reason: v.string(),
  /** One masked line. */
  detail: v.string(),
  /** ISO 8601, ms: when the relay received it, and put it aside. */
  received: v.string(),
  parkedat: v.string(),
  /** Of the event, in UTF-8. */
  bytes: v.number(),
  /** The event's type: `enigma.agents.call`. */
  type: v.string(),
})
export type RelayParked = v.InferOutput<typeof RelayParked>

/** A step of a replay. */
export const ReplayStep = v.looseObject({
  job: v.pipe(v.string(), v.nonEmpty('must not be empty')),
  /** How often the replay had gone on when the step was asked for. */
  steps: v.optional(v.number()),
})
export type ReplayStep = v.InferOutput<typeof ReplayStep>

/**
 * Commands of operators to the relay, which alone can reach its parked lists: the API sends them, and a relay that reads the source carries
 * them out. The one way against the stream, and so narrow: entries by their ids, which the relay itself has announced.
 */

/** Ids of one command at most: with ids of 200 characters it has 200 kB, which every queue takes. */
export const MAX_COMMAND_IDS = 1_000

/** Of a source as `ENIGMA_SOURCES` has it; the message group of its commands. */
const SourceId = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{1,64}$/, 'is no id of a source'))

export const RelayCommand = v.object({
  /** `retry`: send to the queues again; `drop`: delete for ever. */
  action: v.picklist(['retry', 'drop']),
  /** The source on whose parked list they are. */
  source: SourceId,
  /** The ids of parked notifications. */
  ids: v.pipe(v.array(v.pipe(v.string(), v.nonEmpty())), v.minLength(1), v.maxLength(MAX_COMMAND_IDS)),
  /** The name of the token that asked for it, for the log of the relay. */
  operator: v.string(),
})
export type RelayCommand = Readonly<Omit<v.InferOutput<typeof RelayCommand>, 'ids'>> & {
  readonly ids: readonly string[]
}

/**
 * The queue of all commands of a stack. FIFO, a message group for each source: the commands of a source are carried out one after another,
 * by one relay at a time. It needs no dead-letter queue: what a command is about stays parked, and listed, until it was carried out.
 */
export const COMMAND_QUEUE = {
  name: 'relay-commands',
  /** How long (s) a command waits for its relay, and may keep later ones of its source waiting. By then, its operator has long asked again. */
  retentionSeconds: 4 * 3600,
  /** So long (s) after a relay was killed another one goes on with its command. A relay at work renews it. */
  visibilitySeconds: 60,
  /** A command that waits for longer than this (s) raises an alarm. */
  alarmAgeSeconds: 600,
} as const

const TYPE = formatEventType(RELAY_TYPE, 'command')

/** A command as the body of a message: a CloudEvent, as notices of the relay are. */
export const formatCommand = (command: RelayCommand, { id, timeMs }: { id: string; timeMs: number }): string =>
  formatEvent({
    id: `command/${id}`,
    source: toEventSource(command.source),
    type: TYPE,
    subject: command.source,
    time: new Date(timeMs).toISOString(),
    datacontenttype: 'application/json',
    data: formatPacket({ type: 'command', payload: command }),
    transport: 'relay',
    channel: '',
    sequence: id,
  })

/** Reads what `formatCommand` wrote. @throws ProtocolError `protocol.event.invalid`, `protocol.command.invalid` */
export function parseCommand(body: string): RelayCommand {
  const [event, ...more] = parseEvents(body)
  const data = event?.data
  if (event?.type !== TYPE || more.length > 0 || typeof data !== 'string') throw invalid(`it is no single ${TYPE}`)
  const { success, output, issues } = v.safeParse(RelayCommand, readPacketText(data).packet?.payload)
  if (success) return output
  throw invalid(`${v.getDotPath(issues[0]) ?? 'its payload'}: ${issues[0].message}`)
}

const invalid = (why: string) => new ProtocolError('protocol.command.invalid', `the message is no command: ${why}`)
