import { isInexact, isObject, parseExact, parseJson } from './json.ts'
import { toText } from './bytes.ts'

/** What the dialler writes: `{type: <sub_type>, payload}` in JSON. */
export type Packet = { readonly type: string; readonly payload: unknown }

/** Why a packet cannot be routed by its sub_type. Such a packet goes to the `other` route with its bytes and this word. */
export type PacketFault = 'empty' | 'not_utf8' | 'not_json' | 'not_object' | 'no_type' | 'type_not_string'

/**
 * A packet as received: `data` is its exact text, or its bytes when they are not valid UTF-8; `packet` is there when it could
 * be read, else `fault` says why not. `packet` is for routing: its `ref` and `call_ref` are exact, other numbers may be rounded. To
 * read the payload, parse `data` with `parseExact`.
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

/** Parses a packet so that what gives it its lane is exact. A large packet is not read for numbers elsewhere in it. */
function parseForRouting(text: string): unknown {
  const value = parseJson(text)
  const payload = isObject(value) ? value['payload'] : undefined
  if (!isObject(payload)) return value
  const hasNumber = typeof payload['call_ref'] === 'number' || typeof payload['ref'] === 'number'
  return hasNumber && isInexact(text) ? parseExact(text) : value
}

/** Writes a packet as the dialler does. Large integers must be given as strings or as prepared text. */
export function formatPacket(packet: Packet): string {
  return JSON.stringify({ type: packet.type, payload: packet.payload })
}
