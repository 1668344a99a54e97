import { readBody, toBytes, toText, type Notification } from '../../src/protocol/index.ts'
import type { AcceptedEntry } from '../support/sqs-faults.ts'
import type { Handled } from './handle.ts'
import { formatSample, type Sample } from './samples.ts'
import { MAX_BYTES, type Carried } from './street.ts'

export const readMessages = async (messages: readonly AcceptedEntry[]): Promise<Notification[]> =>
  (
    await Promise.all(
      messages.map(({ MessageBody, MessageAttributes }) =>
        readBody(MessageBody, MessageAttributes?.['content-encoding']?.StringValue),
      ),
    )
  ).flat()

/** Reads the event of a parked entry from its original text. Parsing it and formatting it again could change its bytes. */
export const readParked = async (entry: string): Promise<{ notification: Notification; reason: string }> => {
  const [notification] = await readBody(entry.slice(entry.indexOf(',"event":') + ',"event":'.length, -1))
  return { notification: notification as Notification, reason: (JSON.parse(entry) as { reason: string }).reason }
}

// A channel that is not valid UTF-8 is represented by its bytes, one character each.
const toChannel = (key: Buffer): string => toText(key) ?? key.toString('latin1')
const keyOf = (transport: string, channel: string, data: string | Uint8Array): string =>
  `${transport} ${channel} ${Buffer.from(toBytes(data)).toString('latin1')}`

/** Characters that the strictest SQS server rejects. Source: SendMessage in the SQS API reference. Some servers also reject those above U+FFFF. */
const REFUSED = /[^\x09\x0A\x0D\x20-\uD7FF\uE000-\uFFFD]/

/** A packet that is parked as too large has at least this size: after gzip and base64, only larger packets can exceed `MAX_BYTES`. */
const MAY_BE_TOO_LARGE = MAX_BYTES / 2

/** Returns the problems of a batch. There are none if each sample arrived once or is parked, with its exact bytes. */
export async function judge(
  samples: readonly Sample[],
  { messages, parked }: Carried,
  handled: Handled,
  isEnd: (channel: string) => boolean,
): Promise<string[]> {
  const problems = [...handled.problems]
  for (const { queue, MessageBody } of messages) {
    if (REFUSED.test(MessageBody))
      problems.push(`${queue}: SQS may refuse the characters of ${MessageBody.slice(0, 300)}`)
    if (Buffer.byteLength(MessageBody) > MAX_BYTES)
      problems.push(`${queue}: a message of ${Buffer.byteLength(MessageBody)} bytes`)
  }
  const came = new Map<string, number>()
  const count = ({ transport, channel, data }: Notification) => {
    if (transport === 'relay' || isEnd(channel)) return
    const key = keyOf(transport, channel, data)
    came.set(key, (came.get(key) ?? 0) + 1)
  }
  for (const notification of await readMessages(messages)) {
    const { id, transport, data } = notification
    count(notification)
    const body = handled.bodies.get(id)
    // A notice of the relay may have no function yet.
    if (transport === 'relay' && body === undefined) continue
    if (body === undefined || !body.equals(toBytes(data)))
      problems.push(`${id}: the function was asked with ${body === undefined ? 'nothing' : 'other bytes'}`)
    if (!handled.done.has(id) && !handled.parked.has(id))
      problems.push(`${id}: neither done nor parked by its function`)
  }
  for (const entry of parked) {
    const { notification, reason } = await readParked(entry)
    count(notification)
    if (reason !== 'too_large' || toBytes(notification.data).length < MAY_BE_TOO_LARGE)
      problems.push(`${notification.id}: parked as ${reason}, with ${toBytes(notification.data).length} bytes`)
  }
  for (const sample of samples) {
    const key = keyOf(sample.transport, toChannel(sample.key), sample.packet)
    const left = came.get(key) ?? 0
    if (left === 0) problems.push(`missing: ${formatSample(sample)}`)
    else if (left === 1) came.delete(key)
    else came.set(key, left - 1)
  }
  for (const key of came.keys()) problems.push(`came, and was not sent so: ${key.slice(0, 300)}`)
  return problems
}
