import { CONTENT_ENCODING, GZIP } from '../../../protocol/index.ts'
import type { Item } from '../../item.ts'
import type { Parcel } from '../target.ts'

/**
 * The body of a SendMessageBatch request, written once, into a buffer that is used again: events are JSON inside of a JSON text, so each
 * is escaped, and packets go from the bytes that Redis sent straight into the request.
 * Source: SendMessageBatch in the SQS API reference, JSON protocol.
 */

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c

/** What a byte of JSON text becomes inside of a JSON string: 0: itself; else the letter behind a backslash. */
const ESCAPES = new Uint8Array(256)
const LETTERS = { '"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't' }
for (const [character, letter] of Object.entries(LETTERS)) ESCAPES[character.charCodeAt(0)] = letter.charCodeAt(0)

const ATTRIBUTES = `,"MessageAttributes":{"${CONTENT_ENCODING}":{"DataType":"String","StringValue":"${GZIP}"}}`

/** So much (bytes) an entry needs besides its pack, at most. */
const ENTRY_BYTES = 512

/** Buffers are made in steps of this size, and so many are kept. */
const STEP_BYTES = 64 * 1024
const KEPT = 8
const kept: Buffer[] = []

function takeBuffer(bytes: number): Buffer {
  const at = kept.findIndex((buffer) => buffer.length >= bytes)
  const [found] = at < 0 ? [] : kept.splice(at, 1)
  return found ?? Buffer.allocUnsafeSlow(Math.ceil(bytes / STEP_BYTES) * STEP_BYTES)
}

function writeEscaped(to: Buffer, start: number, from: Uint8Array): number {
  let at = start
  for (let index = 0; index < from.length; index++) {
    const byte = from[index] as number
    const letter = ESCAPES[byte] as number
    if (letter !== 0) to[at++] = BACKSLASH
    to[at++] = letter === 0 ? byte : letter
  }
  return at
}

/** The body of a request that sends these packs to a queue. `release`: the buffer may be used again. */
export function formatBatch(queueUrl: string, parcels: readonly Parcel[]) {
  const events = parcels.reduce((sum, { pack }) => sum + pack.bytes, 0)
  // Each byte of an event becomes two at most: JSON text has no control characters but space.
  const buffer = takeBuffer(2 * events + parcels.length * ENTRY_BYTES + 6 * queueUrl.length + ENTRY_BYTES)
  let at = 0
  const write = (text: string) => {
    at += buffer.write(text, at)
  }
  const writeEvent = ({ head, data }: Item) => {
    write(JSON.stringify(head).slice(1, -1))
    if (data === undefined) return
    at = writeEscaped(buffer, at, data)
    write('}')
  }
  write(`{"QueueUrl":${JSON.stringify(queueUrl)},"Entries":[`)
  for (const [id, { group, pack }] of parcels.entries()) {
    const { items, gzipped, deduplicationId } = pack
    write(
      `${id === 0 ? '' : ','}{"Id":"${id}","MessageGroupId":"${group}","MessageDeduplicationId":"${deduplicationId}"`,
    )
    write(`${gzipped === undefined ? '' : ATTRIBUTES},"MessageBody":"`)
    if (gzipped !== undefined) write(gzipped)
    else {
      if (items.length > 1) write('[')
      for (const [index, item] of items.entries()) {
        if (index > 0) buffer[at++] = COMMA
        writeEvent(item)
      }
      if (items.length > 1) write(']')
    }
    buffer[at++] = QUOTE
    write('}')
  }
  write(']}')
  return {
    bytes: buffer.subarray(0, at),
    release: () => {
      if (kept.length < KEPT) kept.push(buffer)
    },
  }
}
