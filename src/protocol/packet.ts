import { ProtocolError } from './notification.ts'
import { isInexact, isObject, parseExact, parseJson, toText } from './text.ts'

/**
 * What the dialler writes: packets, under keys `enigma:notifications[:type[:reference]]`. The same string may name a Redis list and be the
 * prefix of PubSub channels. Source: the dialler's page "State Notifications"; everything after the second colon behind the type is the
 * reference, so a reference may itself contain colons.
 */

export const BASE_KEY = 'enigma:notifications'

/** Before the hashes in which a dialler keeps its present states. */
export const STATES_BASE = 'enigma'

/**
 * The hashes in which a dialler keeps its present states, beside its notifications: `{ref: status}` of all campaigns, and
 * `{extension: status}` of the agents in one campaign. Seen in the field, not documented by the vendor: they may be absent.
 *
 * @example stateKeys().agentsOf('12') // 'enigma:campaign:12:agents'
 */
export const stateKeys = (base: string = STATES_BASE) => ({
  campaigns: `${base}:campaigns`,
  agentsOf: (campaign: string): string => `${base}:campaign:${campaign}:agents`,
})

/** A key, taken apart. An absent part is absent from the key; an empty string is a part that is there and empty. */
export type Key =
  | { readonly type?: undefined; readonly reference?: undefined }
  | { readonly type: string; readonly reference?: string | undefined }

/**
 * Takes a key apart; the exact inverse of `formatKey`. The type is returned as written (see `canonicalType`).
 * Returns undefined for a key outside the scheme.
 *
 * @example parseKey('enigma:notifications:agents:1002') // { type: 'agents', reference: '1002' }
 */
export function parseKey(key: string): Key | undefined {
  if (!key.startsWith(BASE_KEY)) return undefined
  if (key.length === BASE_KEY.length) return {}
  if (key[BASE_KEY.length] !== ':') return undefined
  const rest = key.slice(BASE_KEY.length + 1)
  const colon = rest.indexOf(':')
  return colon < 0 ? { type: rest } : { type: rest.slice(0, colon), reference: rest.slice(colon + 1) }
}

/**
 * Writes a key.
 *
 * @throws ProtocolError `protocol.key.invalid` when the type has a colon: it could not be told from the reference.
 * @example formatKey({ type: 'agents', reference: '1002' }) // 'enigma:notifications:agents:1002'
 */
export function formatKey(key: Key): string {
  if (key.type === undefined) return BASE_KEY
  if (key.type.includes(':'))
    throw new ProtocolError('protocol.key.invalid', `the type of a key contains a colon: ${JSON.stringify(key.type)}`)
  const typed = `${BASE_KEY}:${key.type}`
  return key.reference === undefined ? typed : `${typed}:${key.reference}`
}

/** Singular and plural are both in use on diallers: what is written `agent` in one place is `agents` in another. */
const PLURALS: Readonly<Record<string, string>> = {
  agent: 'agents',
  campaign: 'campaigns',
  dialer: 'dialers',
  dialler: 'dialers',
  diallers: 'dialers',
  inbounds: 'inbound',
  cdrs: 'cdr',
}

/** The plural type that this project uses everywhere; an unknown type is returned as it is. */
export const canonicalType = (type: string): string => (Object.hasOwn(PLURALS, type) ? (PLURALS[type] as string) : type)

/** A notification that hands a call to an agent. */
export type HandedBy = 'agents/call' | 'inbound/call'

/**
 * The notifications of calls whose CDRs are pushed to this list: those of campaigns to `…:campaigns`, those of Click2Dial to `…:cdr`. Undefined
 * for a list without CDRs. Source: the vendor's pages CDR and Click2Dial Redis notifications.
 */
export function callsEndedBy(list: string): HandedBy | undefined {
  const type = canonicalType(parseKey(list)?.type ?? '')
  return type === 'campaigns' ? 'agents/call' : type === 'cdr' ? 'inbound/call' : undefined
}

/** A packet: `{type: <sub_type>, payload}` in JSON. */
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
  return text === undefined
    ? { data: bytes, contentType: 'application/octet-stream', fault: 'not_utf8' }
    : readPacketText(text)
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
export const formatPacket = ({ type, payload }: Packet): string => JSON.stringify({ type, payload })
