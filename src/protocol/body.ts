import { fromBase64, toBase64, toBytes, toText } from './bytes.ts'
import { parseEvents } from './cloudevents.ts'
import { ProtocolError } from './errors.ts'
import type { Notification } from './notification.ts'

/** The name of the SQS message attribute that says that a body is compressed, and its value. */
export const CONTENT_ENCODING = 'content-encoding'
export const GZIP = 'gzip'

/** The names of the SQS message attributes that name the replay that sent a message, and the parked entry that it sent. */
export const REPLAY = 'replay'
export const PARKED = 'parked'

async function through(bytes: Uint8Array, transform: CompressionStream | DecompressionStream): Promise<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(transform)
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

/** A message body, gzipped, as base64 text: for a body over the queue's limit. */
export async function gzipBody(body: string): Promise<string> {
  return toBase64(await through(toBytes(body), new CompressionStream('gzip')))
}

/** @throws ProtocolError `protocol.body.not_gzip` */
export async function gunzipBody(body: string): Promise<string> {
  try {
    const text = toText(await through(fromBase64(body), new DecompressionStream('gzip')))
    if (text !== undefined) return text
  } catch (cause) {
    throw new ProtocolError(
      'protocol.body.not_gzip',
      'the attribute content-encoding says gzip, but the body is not gzip in base64',
      { cause },
    )
  }
  throw new ProtocolError('protocol.body.not_gzip', 'the gzipped body is not UTF-8 text')
}

/**
 * The notifications in an SQS message: one event, a batch, or either gzipped.
 *
 * @throws ProtocolError when the body is none of these.
 */
export async function readBody(body: string, contentEncoding?: string): Promise<Notification[]> {
  return parseEvents(contentEncoding === GZIP ? await gunzipBody(body) : body)
}
