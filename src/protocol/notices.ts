import * as v from 'valibot'
import { formatEvent, parseEvents } from './cloudevents.ts'
import { formatEventType, ProtocolError, toEventSource } from './notification.ts'
import { formatPacket, readPacketText } from './packet.ts'
import { RELAY_TYPE } from './route-table.ts'

/* Notices: packets that the relay itself sends, on the routes of the type `relay`. Commands: the opposite direction. */

/** The causes of a gap: Pub/Sub could not be heard, or heard notifications were lost. */
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
 * A gap: a time span in which Pub/Sub was not heard. A Pub/Sub notification of the same source is from before the gap if its `sequence` is lower
 * than that of the gap's event.
 */
export const RelayGap = v.looseObject({
  /** The source id: `main`. */
  source: v.string(),
  /** The relay's id. */
  relay: v.string(),
  /** When Pub/Sub was last heard, and when it was heard again: ISO 8601, ms. */
  from: v.string(),
  to: v.string(),
  /** One of `GAP_CAUSES`. Accept unknown causes: later versions may add some. */
  cause: v.string(),
  /** The Pub/Sub patterns that were not heard. */
  patterns: v.array(v.string()),
  /** With `journal_full` and `journal_damaged`: the number of lost notifications and their route, as far as known. */
  lost: v.optional(v.number()),
  route: v.optional(v.string()),
})
export type RelayGap = v.InferOutput<typeof RelayGap>

/** The liveness message, which a ready relay sends once a minute. If the cloud receives none for five minutes, it raises an alarm. */
export const RelayAlive = v.looseObject({
  /** The relay's id, and the event's `subject`. */
  relay: v.pipe(v.string(), v.nonEmpty('must not be empty')),
  /** The ids of the sources that the relay reads. */
  sources: v.array(v.string()),
  /** The keys of the lists that the relay consumes in each source. Relays of older versions do not send this field. */
  lists: v.optional(v.array(v.string())),
  /** When the process of the relay started: ISO 8601, ms. */
  started: v.string(),
})
export type RelayAlive = v.InferOutput<typeof RelayAlive>

/** A change to the relay's parked list. If a notification has several such notices, the one with the highest `sequence` is current. */
export const RelayParked = v.looseObject({
  source: v.string(),
  /** The notification's id, and the event's `subject`. */
  id: v.string(),
  /** `parked`: it is in the list `enigma:relay:parked` of the source. `retried`: its target has accepted it since. `dropped`: an operator deleted it. */
  state: v.picklist(['parked', 'retried', 'dropped']),
  /** The route's name: `agents-call`. */
  route: v.string(),
  /** `too_large`, `refused`. */
  reason: v.string(),
  /** Details for humans: one masked line. */
  detail: v.string(),
  /** When the relay received and when it parked the notification: ISO 8601, ms. */
  received: v.string(),
  parkedat: v.string(),
  /** The size of the event in UTF-8. */
  bytes: v.number(),
  /** The event's type: `enigma.agents.call`. */
  type: v.string(),
})
export type RelayParked = v.InferOutput<typeof RelayParked>

/** A step of a replay, which the API or the previous step requests. */
export const ReplayStep = v.looseObject({
  job: v.pipe(v.string(), v.nonEmpty('must not be empty')),
  /** The number of steps that the replay had made when this step was requested. */
  steps: v.optional(v.number()),
})
export type ReplayStep = v.InferOutput<typeof ReplayStep>

/*
 * Commands: operators retry or drop entries that a relay parked. Only a relay can reach its parked list, so the API sends commands and a relay
 * that reads the source carries them out. Commands are the only data that flow towards the dialler, so they carry only ids that the relay itself
 * has announced.
 */

/** The maximum number of ids in a command. With ids of 200 characters, the command has 200 kB, which every queue accepts. */
export const MAX_COMMAND_IDS = 1_000

/** A source id, as in `ENIGMA_SOURCES`. It is also the message group of the commands of the source. */
const SourceId = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{1,64}$/, 'is not a source id'))

export const RelayCommand = v.object({
  /** `retry`: send to the target again. `drop`: delete permanently. */
  action: v.picklist(['retry', 'drop']),
  /** The source whose parked list holds the entries. */
  source: SourceId,
  /** The ids of parked notifications. */
  ids: v.pipe(v.array(v.pipe(v.string(), v.nonEmpty())), v.minLength(1), v.maxLength(MAX_COMMAND_IDS)),
  /** The name of the operator's token, for the log of the relay. */
  operator: v.string(),
})
export type RelayCommand = Readonly<Omit<v.InferOutput<typeof RelayCommand>, 'ids'>> & {
  readonly ids: readonly string[]
}

/**
 * The queue of all commands of a stack: FIFO, with one message group per source. The commands of a source are therefore carried out one after
 * another, by one relay at a time. It needs no dead-letter queue, because entries stay parked and listed until their command is carried out.
 */
export const COMMAND_QUEUE = {
  name: 'relay-commands',
  /** How long (s) a command waits for a relay, and may delay later commands of its source. After that, the operator must repeat it. */
  retentionSeconds: 4 * 3600,
  /** How long (s) after a relay was killed another relay takes over its command. A running relay keeps extending this time. */
  visibilitySeconds: 60,
  /** An alarm is raised when a command waits longer than this (s). */
  alarmAgeSeconds: 600,
} as const

const commandType = () => formatEventType(RELAY_TYPE, 'command')

/** Writes a command as a message body: a CloudEvent, like the notices of the relay. */
export const formatCommand = (command: RelayCommand, { id, timeMs }: { id: string; timeMs: number }): string =>
  formatEvent({
    id: `command/${id}`,
    source: toEventSource(command.source),
    type: commandType(),
    subject: command.source,
    time: new Date(timeMs).toISOString(),
    datacontenttype: 'application/json',
    data: formatPacket({ type: 'command', payload: command }),
    transport: 'relay',
    channel: '',
    sequence: id,
  })

/** Reads a message body that `formatCommand` wrote. @throws ProtocolError `protocol.event.invalid`, `protocol.command.invalid` */
export function parseCommand(body: string): RelayCommand {
  const [event, ...more] = parseEvents(body)
  const data = event?.data
  if (event?.type !== commandType() || more.length > 0 || typeof data !== 'string')
    throw invalid(`it is not a single ${commandType()}`)
  const { success, output, issues } = v.safeParse(RelayCommand, readPacketText(data).packet?.payload)
  if (success) return output
  throw invalid(`${v.getDotPath(issues[0]) ?? 'its payload'}: ${issues[0].message}`)
}

const invalid = (why: string) => new ProtocolError('protocol.command.invalid', `the message is not a command: ${why}`)
