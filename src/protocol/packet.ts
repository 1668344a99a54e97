import { isObject, parseExact } from './json.ts'
import { toText } from './bytes.ts'

/** What the dialler writes: `{type: <sub_type>, payload}` in JSON. */
export type Packet = { readonly type: string; readonly payload: unknown }

/** Why a packet cannot be routed by its sub_type. Such a packet goes to the `other` route with its bytes and this word. */
export type PacketFault = 'empty' | 'not_utf8' | 'not_json' | 'not_object' | 'no_type' | 'type_not_string'

/**
 * A packet as received: `data` is its exact text, or its bytes when they are not valid UTF-8; `packet` is there when it could
 * be read, else `fault` says why not. In `packet`, integers above 2^53 other than `ref` and `call_ref` may be rounded: it is for
 * routing; who needs the payload reads `data` with `parseExact`.
 */
export type ReadPacket = {
  readonly data: string | Uint8Array
  readonly contentType: 'application/json' | 'text/plain' | 'application/octet-stream'
  readonly packet?: Packet
  readonly fault?: PacketFault
}

/**
 * Reads what came from Redis. Never throws, changes nothing: `data` is what `toBytes` turns into the very bytes received.
 *
 * @example readPacket(new TextEncoder().encode('{"type":"status","payload":{}}')).packet?.type // 'status'
 */
export function readPacket(bytes: Uint8Array): ReadPacket {
  const text = toText(bytes)
  if (text === undefined) return { data: bytes, contentType: 'application/octet-stream', fault: 'not_utf8' }
  return readPacketText(text)
}

/** `readPacket` for a packet that is text already. */
export function readPacketText(text: string): ReadPacket {
  if (text === '') return { data: text, contentType: 'text/plain', fault: 'empty' }
  let value: unknown
  try {
    value = parseForRouting(text)
  } catch {
    return { data: text, contentType: 'text/plain', fault: 'not_json' }
  }
  const contentType = 'application/json'
  if (!isObject(value)) return { data: text, contentType, fault: 'not_object' }
  const type = value['type']
  if (type === undefined || type === null) return { data: text, contentType, fault: 'no_type' }
  if (typeof type !== 'string') return { data: text, contentType, fault: 'type_not_string' }
  return { data: text, contentType, packet: { type, payload: value['payload'] } }
}

const isRounded = (value: unknown): boolean => typeof value === 'number' && !Number.isSafeInteger(value)

/** What routes a packet and gives it its lane must be exact; for anything else in it, the text is what counts. */
function parseForRouting(text: string): unknown {
  const value: unknown = JSON.parse(text)
  const payload = isObject(value) ? value['payload'] : undefined
  if (!isObject(payload) || !(isRounded(payload['call_ref']) || isRounded(payload['ref']))) return value
  return parseExact(text)
}

/** Writes a packet as the dialler does. Large integers must be given as strings or as prepared text. */
export function formatPacket(packet: Packet): string {
  return JSON.stringify({ type: packet.type, payload: packet.payload })
}
