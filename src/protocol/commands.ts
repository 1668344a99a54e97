import * as v from 'valibot'
import { formatEvent, parseEvents } from './cloudevents.ts'
import { formatEventType, ProtocolError, toEventSource } from './notification.ts'
import { formatPacket, readPacketText } from './packet.ts'
import { RELAY_TYPE } from './route-table.ts'

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
